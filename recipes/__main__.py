"""Lists the jobs: `python -m recipes`."""

import ast
import pathlib


def jobs():
    """Returns the first line of each job's docstring by the job's name, without importing any."""
    files = sorted(pathlib.Path(__file__).parent.glob("[!_]*.py"))
    modules = {file.stem: ast.parse(file.read_text("utf-8")) for file in files}
    return {name: ast.get_docstring(module).splitlines()[0] for name, module in modules.items()}


def main():
    found = jobs()
    width = max(map(len, found))
    for name, line in found.items():
        print(f"python -m recipes.{name:{width}}  {line}")
    print("\n--help after any of them shows its options.")


if __name__ == "__main__":
    main()
