"""What is measured: our models, and beside them the peers that are installed.

A model is written as it is built, `gMLP_S` or `giBERT_Base(rank=64)`; `remat=True` among its
arguments computes its blocks again in the backward pass.
"""

import ast
import dataclasses
import importlib.util
import inspect
import itertools
import pathlib

from recipes.program import command_line

BACKENDS = ("tensorflow", "jax", "torch")
# By the names under which they are imported: ours, and the peers'.
LIBRARIES = ("keras_gimlp", "keras_hub", "timm", "torchvision", "g_mlp_pytorch")
OURS, KERAS_HUB, TIMM, TORCHVISION, G_MLP = LIBRARIES
# Runtimes of exported files, by format.
RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}
OPENVINO = RUNTIMES["openvino"]
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
# Arguments of the gates, which a plain encoder lacks.
GATE_ARGUMENTS = (
    *("inhibition", "gate_query", "gate_key", "gated_layers", "scope", "activation", "rank"),
    "trainable",
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """What one process measures."""

    model: str  # as it is written, or the path of a file
    library: str  # one of `LIBRARIES`, or of `RUNTIMES`
    backend: str
    compiled: bool  # by XLA or torch.compile
    mode: str  # inference or training
    precision: str
    batch_size: int
    size: int  # pixels of a side, or tokens
    group: str  # what takes turns with it
    # Sizes of a peer that is not known by name.
    arguments: tuple = ()
    # Name of the model in a file.
    source: str = ""

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
        """The packages that its code is imported from."""
        return (self.library, *([KERAS_HUB] if self.library == OURS and self.text else []))

    @property
    def ours(self):
        """The name of our model that computes the same, `None` if there is none."""
        if self.library == TORCHVISION:
            return self.name
        return next((ours for ours, timm in TIMM_NAMES.items() if timm == self.model), None)

    @property
    def label(self):
        """What distinguishes it in its group, in words."""
        if self.source:
            return ", ".join([pathlib.Path(self.model).name, self.library, self.precision])
        where = self.backend if self.library in (OURS, KERAS_HUB) else self.library
        return ", ".join([self.model, where, *(["compiled"] if self.compiled else [])])


def parse(model):
    """Returns the name and the arguments of a model that is written as a call."""
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
    """Returns the backends to measure: those asked for, or else those that are installed."""
    found = [name for name in BACKENDS if importlib.util.find_spec(name)]
    for name in backends or ():
        if name not in found:
            raise SystemExit(f"--backends {name} needs the package {name}, which is not installed.")
    if not (backends or found):
        raise SystemExit(f"One of {', '.join(BACKENDS)} must be installed.")
    return backends or tuple(found)


def list_subjects(config):
    """Returns what a configuration asks for, each once, in the order in which it takes turns."""
    found = []
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
            found += with_peers(config, model, case)
    found += exported_files(config)
    order = [*LIBRARIES, *RUNTIMES.values()]
    return sorted(dict.fromkeys(found), key=lambda subject: order.index(subject.library))


def exported_files(config):
    """Returns the files of a configuration, beside the models that take turns in the same case."""
    from studies.speed import exported

    found = []
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
                # Integers stand beside what they would replace.
                beside = config.precisions[-1] if precision == "int8" else precision
                group = f"{card['model']}, inference, {beside}, {place}"
                where = {"batch_size": batch_size, "size": size, "group": group}
                library = card["library"]
                found.append(
                    Subject(
                        *(path, library, library, True, "inference", precision),
                        **where,
                        source=card["model"],
                    )
                )
    return found


def precisions_of(config, card):
    """Returns the precisions in which the runtime of a file can compute it."""
    if card["int8"]:
        return ["int8"]
    able = ("float32", "mixed_bfloat16") if card["library"] == OPENVINO else ("float32",)
    return [precision for precision in config.precisions if precision in able]


def check(model):
    """Returns name and arguments of a model, or ends the program if it cannot be built so."""
    from keras_gimlp import applications

    name, arguments = parse(model)
    command_line.one_of(name, applications.list_models(), "model")
    for argument in arguments:
        known = inspect.signature(getattr(applications, name)).parameters
        command_line.one_of(argument, [*known, "remat"], f"argument of {name}")
    return name, arguments


def with_peers(config, model, case):
    """Returns a model on every backend, and its peers, in one case."""
    name, arguments = parse(model)
    text = is_text(name)
    place = f"{case['mode']}, {case['precision']}"
    place += f", {case['batch_size']} x {case['size']} {'tokens' if text else 'px'}"
    found = []
    for backend in config.backends:
        # Texts are compared with the plain encoder on the same backend, images with all others.
        where = case | {"group": f"Text on {backend}, {place}" if text else f"{name}, {place}"}
        models = [(model, OURS)]
        if text and config.peers:
            models += [(plain, KERAS_HUB) for plain in plain_encoders(name, arguments)]
        for compiled in forms(config.jit_compile, backend):
            found += [Subject(*which, backend, compiled, **where) for which in models]
        if config.peers and (backend == "torch" or not text):
            for compiled in forms(config.jit_compile, "torch"):
                for peer in torch_peers(name, arguments):
                    found.append(Subject(**peer, backend="torch", compiled=compiled, **where))
    return found


def forms(choices, backend):
    """Returns whether a backend compiles, for every choice of `--jit_compile`."""
    automatic = backend != "torch"
    # Without, JAX would compute one operation at a time, as nobody does.
    forms = {"auto": automatic, "on": True, "off": backend == "jax"}
    return dict.fromkeys(forms[choice] for choice in choices)


def plain_encoders(name, arguments):
    """Returns KerasHub's encoders for a text model: of the same sizes, or for gMLP of BERT's."""
    family, _, size = name.rpartition("_")
    if family in GATES:
        sizes = {k: v for k, v in arguments.items() if k not in (*GATE_ARGUMENTS, "remat")}
        return [written(f"{family.removeprefix('gi')}_{size}", sizes)]
    return [f"BERT_{size}"] if size in ("Base", "Large") and not architecture(arguments) else []


def torch_peers(name, arguments):
    """Returns model, library and sizes of the PyTorch models that are like one of ours."""
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
    """Returns the sizes under some keys of one of our models, as pairs."""
    from keras_gimlp import applications

    known = inspect.signature(getattr(applications, name)).parameters
    return tuple((key, sizes.get(key, known[key].default)) for key in keys)


def written(name, arguments):
    """Returns a model as it is written in the options."""
    inside = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return f"{name}({inside})" if inside else name
