"""How Sphinx builds the site: `make docs`."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "extensions"))

import keras_gimlp

project = "keras_gimlp"
author = "The authors of keras_gimlp"
copyright = f"{author}. Apache License 2.0"
release = version = keras_gimlp.__version__

# The last three are in docs/extensions.
extensions = ["myst_nb", "mathml", "public_names", "tables"]
exclude_patterns = ["_build", "extensions"]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 4

# Every page is run anew, apart from the sources; an error in one ends the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_output_stderr = "remove"  # what the backends log; exceptions are raised

add_module_names = False
maximum_signature_line_length = 80
nitpick_ignore_regex = [("py:exc", r"(Value|Type|Import|Connection|FileNotFound)Error")]

html_theme = "sphinx_book_theme"
html_title = f"keras_gimlp {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search stands in the sidebar
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
}
