"""The models to measure: ours, their installed peers, and exported files.

A model is written as the call that builds it, `gMLP_S` or `giBERT_Base(rank=64)`; the argument
`remat=True` recomputes its blocks in the backward pass.
"""

import ast
import dataclasses
import importlib.util
import inspect
import itertools
import pathlib

from recipes.program import command_line
from studies.speed.libraries import BACKENDS, OPENVINO, RUNTIMES

# Packages that models come from: ours first, then the peers'.
SOURCES = ("keras_gimlp", "keras_hub", "timm", "torchvision", "g_mlp_pytorch")
OURS, KERAS_HUB, TIMM, TORCHVISION, G_MLP = SOURCES
# timm's models of the same architecture and parameters.
TIMM_NAMES = {
    **{"gMLP_Ti": "gmlp_ti16_224", "gMLP_S": "gmlp_s16_224", "gMLP_B": "gmlp_b16_224"},
    **{"MLPMixer_S32": "mixer_s32_224", "MLPMixer_S16": "mixer_s16_224"},
    **{"MLPMixer_B32": "mixer_b32_224", "MLPMixer_B16": "mixer_b16_224"},
    **{"MLPMixer_L32": "mixer_l32_224", "MLPMixer_L16": "mixer_l16_224"},
    **{"ResMLP_S12": "resmlp_12_224", "ResMLP_S24": "resmlp_24_224"},
    "ResMLP_S36": "resmlp_36_224",
}
GATES = ("giBERT", "giRoBERTa", "giDeBERTaV3")
# Arguments of gated encoders that a plain encoder lacks.
GATE_ARGUMENTS = (
    *("inhibition", "gate_query", "gate_key", "gated_layers", "scope", "activation", "rank"),
    "trainable",
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model in one case, which one process measures."""

    model: str  # as it is written, or the path of a file
    library: str  # one of `SOURCES`, or of `RUNTIMES`
    backend: str
    compiled: bool  # by XLA or torch.compile
    mode: str  # inference or training
    precision: str
    batch_size: int
    size: int  # pixels of a side, or tokens
    group: str  # of the subjects that take turns
    arguments: tuple = ()  # sizes of a peer without named sizes, as pairs
    source: str = ""  # name of the model in a file

    @property
    def training(self):
        return self.mode == "training"

    @property
    def name(self):
        return parse(self.model)[0]

    @property
    def text(self):
        return self.library in (KERAS_HUB, G_MLP) or is_text(self.name)

    @property
    def packages(self):
        """The packages that its code comes from."""
        return (self.library, *([KERAS_HUB] if self.library == OURS and self.text else []))

    @property
    def ours(self):
        """The name of our model that computes the same, `None` if there is none."""
        if self.library == TORCHVISION:
            return self.name
        return next((ours for ours, timm in TIMM_NAMES.items() if timm == self.model), None)

    @property
    def label(self):
        """The words that distinguish it in its group."""
        if self.source:
            return ", ".join([pathlib.Path(self.model).name, self.library, self.precision])
        where = self.backend if self.library in (OURS, KERAS_HUB) else self.library
        return ", ".join([self.model, where, *(["compiled"] if self.compiled else [])])


def parse(model):
    """Returns the name and the arguments of a model written as a call."""
    try:
        call = ast.parse(model, mode="eval").body
        if isinstance(call, ast.Name):
            return call.id, {}
        if call.args or not all(keyword.arg for keyword in call.keywords):
            raise ValueError("its arguments need names")
        return call.func.id, {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, AttributeError) as error:
        raise SystemExit(
            f"A model is a name, or a call such as 'gMLP_S(depth=2)'. Received: {model} ({error})"
        ) from None


def is_text(name):
    return name.startswith((*GATES, "gMLP_MLM", "aMLP_MLM"))


def installed(backends):
    """Returns the backends to measure: the given ones, all installed ones without any."""
    available = tuple(name for name in BACKENDS if importlib.util.find_spec(name))
    for name in backends or ():
        if name not in available:
            raise SystemExit(f"--backends {name} needs the package {name}, which is not installed.")
    if not (backends or available):
        raise SystemExit(f"One of {', '.join(BACKENDS)} must be installed.")
    return backends or available


def list_subjects(config):
    """Returns the subjects of a configuration, each once, in the order of their turns."""
    chosen = []
    cases = itertools.product(config.models, config.modes, config.precisions, config.batch_sizes)
    for model, mode, precision, batch_size in cases:
        name, arguments = check(model)
        model = written(name, arguments)
        if mode == "training" and precision == "bfloat16":
            continue  # its weights would be too coarse to be trained
        if mode == "inference" and arguments.get("remat"):
            continue  # there is no backward pass
        for size in config.sequence_lengths if is_text(name) else config.image_sizes:
            case = {"mode": mode, "precision": precision, "batch_size": batch_size, "size": size}
            chosen += with_peers(config, model, case)
    chosen += exported_files(config)
    order = [*SOURCES, *RUNTIMES.values()]
    return sorted(dict.fromkeys(chosen), key=lambda subject: order.index(subject.library))


def exported_files(config):
    """Returns the files of a configuration, in the groups of the models of the same case."""
    from studies.speed import exported

    chosen = []
    for path, batch_size in itertools.product(config.files, config.batch_sizes):
        card = exported.card_of(path)
        if importlib.util.find_spec(card["library"]) is None:
            raise SystemExit(f"{path} needs the package {card['library']}, which is not installed.")
        (_, second, *_), *_ = (x["shape"] for x in card["inputs"])
        text = card["vocabulary_size"] is not None
        sizes = config.sequence_lengths if text else config.image_sizes
        for size in sizes if isinstance(second, str) else [second]:
            place = f"{batch_size} x {size} {'tokens' if text else 'px'}"
            for precision in precisions_of(config, card):
                # int8 is compared with the precision that it would replace.
                replaced = config.precisions[-1] if precision == "int8" else precision
                library = card["library"]
                chosen.append(
                    Subject(
                        model=path,
                        library=library,
                        backend=library,
                        compiled=True,
                        mode="inference",
                        precision=precision,
                        batch_size=batch_size,
                        size=size,
                        group=f"{card['model']}, inference, {replaced}, {place}",
                        source=card["model"],
                    )
                )
    return chosen


def precisions_of(config, card):
    """Returns the precisions in which the runtime of a file can compute it."""
    if card["int8"]:
        return ["int8"]
    able = ("float32", "mixed_bfloat16") if card["library"] == OPENVINO else ("float32",)
    return [precision for precision in config.precisions if precision in able]


def check(model):
    """Returns name and arguments of a model, or ends the program if it has no such arguments."""
    from keras_gimlp import applications

    name, arguments = parse(model)
    command_line.one_of(name, applications.list_models(), "model")
    for argument in arguments:
        known = inspect.signature(getattr(applications, name)).parameters
        command_line.one_of(argument, [*known, "remat"], f"argument of {name}")
    return name, arguments


def with_peers(config, model, case):
    """Returns the subjects of a model and its peers, on every backend, in one case."""
    name, arguments = parse(model)
    text = is_text(name)
    place = f"{case['mode']}, {case['precision']}"
    place += f", {case['batch_size']} x {case['size']} {'tokens' if text else 'px'}"
    chosen = []
    for backend in config.backends:
        # A text model is compared with plain encoders on its backend, an image model on all.
        where = case | {"group": f"Text on {backend}, {place}" if text else f"{name}, {place}"}
        models = [(model, OURS)]
        if text and config.peers:
            models += [(plain, KERAS_HUB) for plain in plain_encoders(name, arguments)]
        for compiled in forms(config.jit_compile, backend):
            chosen += [Subject(*which, backend, compiled, **where) for which in models]
        if config.peers and (backend == "torch" or not text):
            for compiled in forms(config.jit_compile, "torch"):
                for peer in torch_peers(name, arguments):
                    chosen.append(Subject(**peer, backend="torch", compiled=compiled, **where))
    return chosen


def forms(choices, backend):
    """Returns whether a backend compiles, for every choice of `--jit_compile`."""
    # Nobody lets JAX compute one operation at a time.
    forms = {"auto": backend != "torch", "on": True, "off": backend == "jax"}
    return dict.fromkeys(forms[choice] for choice in choices)


def plain_encoders(name, arguments):
    """Returns KerasHub's encoders for a text model: of the same sizes, or for a gMLP BERT's."""
    family, _, size = name.rpartition("_")
    if family in GATES:
        sizes = {k: v for k, v in arguments.items() if k not in (*GATE_ARGUMENTS, "remat")}
        return [written(f"{family.removeprefix('gi')}_{size}", sizes)]
    return [f"BERT_{size}"] if size in ("Base", "Large") and not architecture(arguments) else []


def torch_peers(name, arguments):
    """Returns model, library and sizes of the PyTorch peers of one of our models."""
    sizes = architecture(arguments)
    if name in TIMM_NAMES and not sizes:
        peer, keys = {"model": TIMM_NAMES[name], "library": TIMM}, ()
    elif name.startswith("CycleMLP"):
        peer = {"model": written(name, sizes), "library": TORCHVISION}
        keys = ("depths", "dims", "mlp_ratios", "stem_size", "stem_strides")
    elif name.startswith(("gMLP_MLM", "aMLP_MLM")):
        peer = {"model": written(name, sizes), "library": G_MLP}
        keys = ("vocabulary_size", "depth", "dim", "ffn_dim", "attention_dim")
    else:
        return []
    if importlib.util.find_spec(peer["library"]) is None:
        return []
    return [peer | {"arguments": sizes_of(name, sizes, keys)}]


def architecture(arguments):
    return {key: value for key, value in arguments.items() if key != "remat"}


def sizes_of(name, sizes, keys):
    """Returns some sizes of one of our models, as pairs of name and value."""
    from keras_gimlp import applications

    known = inspect.signature(getattr(applications, name)).parameters
    return tuple((key, sizes.get(key, known[key].default)) for key in keys)


def written(name, arguments):
    """Returns a model as it is written in the options."""
    inside = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return f"{name}({inside})" if inside else name
