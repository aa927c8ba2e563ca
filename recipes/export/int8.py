"""Files that multiply 8-bit integers: weights and activations are rounded to 256 values.

A few hundred training examples give the range of every activation. Only the factors of products,
over channels and over tokens, are rounded.
"""

import contextlib
import logging
import warnings


def quantize(data, format, path, config):
    """Quantizes the file at `path`, beside the folder that it is in, with a `Calibration`.

    Ends the program if it loses more of its score than it may. Returns the path of the new file,
    and a dictionary with the scores before and after.
    """
    target = path.parent.with_name(config.quantize) / path.name
    target.parent.mkdir()
    format.quantizer(path, target, data.examples)
    before, after = (data.score(format.read(x)) for x in (path, target))
    for name, score in after.items():
        lost = 100 * (before[name] - score)
        if not lost <= config.most_lost:
            raise SystemExit(
                f"{config.quantize} loses {lost:.2f} points of the {name} of {before[name]:.2%} "
                f"(--most_lost {config.most_lost:g}): the file was thrown away."
            )
    return target, {"to": config.quantize, "before": before, "after": after}


def quantize_onnx(source, target, examples):
    """Writes the ONNX file `source` at `target`, with its products in integers."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = iter(examples())

        def get_next(self):
            return next(self.left, None)

    with quiet():
        quantization.quantize_static(
            str(source),
            str(target),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )


def quantize_openvino(source, target, examples):
    """Writes the OpenVINO file `source` at `target`, with its products in integers."""
    import nncf
    import openvino

    with quiet():
        batches = [*examples()]
        quantized = nncf.quantize(
            openvino.Core().read_model(source),
            nncf.Dataset(batches),
            subset_size=len(batches),
            # Rounds nothing but the factors of products.
            model_type=nncf.ModelType.TRANSFORMER,
        )
        openvino.save_model(quantized, target, compress_to_fp16=False)


@contextlib.contextmanager
def quiet():
    """Silences the libraries' reports of their own progress."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
