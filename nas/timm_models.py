"""Models of ours as models of timm: `timm.create_model("nas/DIGEST", pretrained=True)`.

    from nas.timm_models import register

    register("shirt")  # a model's folder, or a hub's: all of its models

timm's registry knows such a model as `nas_DIGEST`, for its names hold no slash; `register` teaches
`create_model` the other spelling. As all of timm's models it takes normalised images: mean and
deviation are in `model.pretrained_cfg`. With `pretrained=True` timm fits the first convolution to
`in_chans` and leaves out the classifier if `num_classes` is another number.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from evaluators.runtimes import TargetUnavailable, runtime
from search_spaces.arch import Arch, Task
from search_spaces.errors import NasError
from search_spaces.network import Network, build

from .exporter import ExportError, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PREFIX = "nas/"


class TimmNetwork(Network):
    """A network with the methods that timm asks of its models."""

    def __init__(
        self, arch: Arch, task: Task, num_classes: int, in_chans: int, drop_rate: float | None
    ) -> None:
        if drop_rate is not None:
            arch = replace(arch, head=replace(arch.head, dropout=drop_rate))
        task = Task(max(2, num_classes), (in_chans, *task.shape[1:]))
        super().__init__(arch, task)
        self.load_state_dict(build(arch, task).state_dict())  # as fresh as any of ours
        self.num_features = self.head_hidden_size = self.get_classifier().in_features
        self.num_classes, self.in_chans = task.classes, in_chans
        self.feature_info = list(_stages(arch, task))
        if num_classes == 0:
            self.reset_classifier(0)

    def forward_features(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, width of the last stage, H', W')."""
        x = image
        for name, part in self.parts.items():
            if name != "head":
                x = part(x, image) if self.wants_image(name) else part(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return scores (B, classes) of what `forward_features` returns, or what they are from."""
        head = self.parts["head"]
        assert isinstance(head, nn.Sequential)
        scores: Tensor = (head[:-1] if pre_logits else head)(x)
        return scores

    def get_classifier(self) -> Any:
        """Return the last layer."""
        head = self.parts["head"]
        assert isinstance(head, nn.Sequential)
        return head[-1]

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer by a fresh one; 0 classes leave it out."""
        if global_pool not in (None, "avg"):
            raise ExportError(f"`global_pool` (={global_pool!r}): these networks know 'avg' only")
        head = self.parts["head"]
        assert isinstance(head, nn.Sequential)
        self.num_classes = num_classes
        head[-1] = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()


def register(place: Path | str) -> list[str]:
    """Enter the model in the folder `place`, or those of the hub `place`, in timm's registry.

    Returns:
        The names for `timm.create_model`, such as "nas/3f2ab41c09de". Of several models of one
        architecture in a hub it is the newest that has the name.

    Raises:
        ExportError: no model, or a damaged one.
        TargetUnavailable: timm or torchvision is not installed, or does not run.
    """
    try:
        runtime("timm", "timm")
    except NasError:
        raise
    except RuntimeError as error:  # torchvision that was built for another torch
        raise TargetUnavailable(f"timm does not run here: {error}") from error
    place = Path(place)
    folders = [place] if (place / "task.json").is_file() else _in_hub(place)
    if not folders:
        raise ExportError(f"{place}: is neither a model's folder nor a hub with models")
    _teach_slash()
    return list(dict.fromkeys(_register(folder.resolve()) for folder in folders))


def _in_hub(place: Path) -> list[Path]:
    lists = place.glob("[!.]*/[!.]*/checksums.json")
    return [path.parent for path in sorted(lists, key=lambda path: path.stat().st_mtime_ns)]


def _register(folder: Path) -> str:
    from timm.models import _registry, build_model_with_cfg

    model = read(folder)
    arch, task = model.arch, model.task
    name = f"nas_{arch.digest}"

    def entry(pretrained: bool = False, **options: Any) -> nn.Module:
        def make(
            num_classes: int = task.classes,
            in_chans: int = task.shape[0],
            drop_rate: float | None = None,
        ) -> TimmNetwork:
            return TimmNetwork(arch, task, num_classes, in_chans, drop_rate)

        if pretrained:  # read again: who registers a model need not keep its weights
            weights = dict(read(folder).network.state_dict())
            given = options.get("pretrained_cfg_overlay") or {}
            options["pretrained_cfg_overlay"] = given | {"state_dict": weights}
        built: nn.Module = build_model_with_cfg(
            make, name, pretrained, feature_cfg=_FEATURES, **options
        )
        return built

    entry.__name__ = name
    convolution = next(n for n, m in model.network.named_modules() if isinstance(m, nn.Conv2d))
    last = [n for n, m in model.network.named_modules() if isinstance(m, nn.Linear)][-1]
    about = {
        "file": str(folder / "weights.safetensors"),
        "num_classes": task.classes,
        "input_size": task.shape,
        "pool_size": None,
        "crop_pct": 1.0,
        "interpolation": "bicubic",
        "mean": model.mean,
        "std": model.std,
        "first_conv": convolution,
        "classifier": last,
        "label_names": model.classes,
    }
    default_cfgs.update(_registry.generate_default_cfgs({name: about}))
    if _registry.is_model(name):
        _registry._clear_model_entries(name)
        del _registry._model_entrypoints[name]
    _registry.register_model(entry)
    return _PREFIX + arch.digest


default_cfgs: dict[str, Any] = {}  # where timm's `register_model` looks
__all__ = ["TimmNetwork", "register"]
_FEATURES = {"feature_cls": "hook"}


def _stages(arch: Arch, task: Task) -> Iterator[dict[str, Any]]:
    """Yield the last part of the stem and of each stage, as timm's feature extractors read it."""
    parts = [part for part in arch.parts(task) if part.name not in ("tail", "head")]
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        if following is None or following.name.split("_")[0] != part.name.split("_")[0]:
            reduction = round(task.shape[1] / part.site.hw_out[0])
            module = f"parts.{part.name}"
            yield {"num_chs": part.site.c_out, "reduction": reduction, "module": module}


def _teach_slash() -> None:
    """Make `create_model` take "nas/DIGEST": newer versions of timm refuse any slash."""
    from timm.models import _factory

    factory: Any = _factory
    known: Callable[[str], Any] = factory.parse_model_name
    if getattr(known, "knows_nas", False):
        return

    def parse_model_name(name: str) -> Any:
        ours = name.startswith(_PREFIX)
        return known(f"nas_{name[len(_PREFIX) :]}" if ours else name)

    parse_model_name.knows_nas = True  # type: ignore[attr-defined]
    factory.parse_model_name = parse_model_name
