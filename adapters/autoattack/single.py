"""AutoAttack's components one by one, each an attack of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.autoattack.attack import AutoAttack
from adapters.autoattack.budget import CONSTANTS, Budget
from harness.errors import BadSuite

if TYPE_CHECKING:
    from torch import Tensor


class Single(AutoAttack):
    """One component; restarts are the harness's, each with draws of its own."""

    component: ClassVar[str]
    constants: ClassVar[tuple[str, ...]]
    """Those of `CONSTANTS` that the component has."""
    strength: ClassVar[Mapping[str, Any]] = {}
    options: ClassVar[Mapping[str, type]] = {}
    cascade = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kind in self.strength.items():
            if kind is int and self.params[name] < 1:
                raise BadSuite(f"attack {self.spec.id!r}: {name} must be at least 1, not {self.params[name]}")

    @property
    def budget(self) -> Budget:
        """The component's, as the suite has it."""
        given = dict(self.params)
        targets, restarts = given.get("target_classes", 1), given["restarts"] if self.restarts_inside else 1
        return Budget(
            components=(self.component,),
            steps=given.get("steps", 1),
            eot=given.get("eot", 1),
            apgd_targets=targets,
            fab_restarts=restarts,
            fab_targets=targets,
            queries=given.get("queries", 1),
            larger_radii=self.norm == "l1" and self.component.startswith("apgd"),
        )

    def parameters(self, epsilon: float) -> dict[str, Any]:
        """Every parameter of the component."""
        return dict(sorted({**self.params, **{name: CONSTANTS[name] for name in self.constants}}.items()))


class ApgdCE(Single):
    """Auto-PGD on cross-entropy (arXiv:2003.01690)."""

    component = "apgd-ce"
    constants = ("rho",)
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "eot": int}


class ApgdDLR(ApgdCE):
    """Auto-PGD on the difference of logits ratio (arXiv:2003.01690)."""

    component = "apgd-dlr"


class ApgdT(Single):
    """Auto-PGD on the targeted DLR loss, for the `target_classes` most likely wrong classes (arXiv:2003.01690)."""

    component = "apgd-t"
    constants = ("rho",)
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "eot": int, "target_classes": int}


class Fab(Single):
    """Fast adaptive boundary attack, untargeted, in a fixed ball (arXiv:1907.02044)."""

    component = "fab"
    constants = ("alpha_max", "beta", "eta")
    strength: ClassVar[Mapping[str, Any]] = {"steps": int}
    freezable = False
    restarts_inside = True  # its first run starts at the clean image
    caveats = ("one backward pass a class and step: slow with many classes",)


class FabT(Single):
    """Fast adaptive boundary attack on the `target_classes` most likely wrong classes: the nearest witness of all.

    It starts at the clean image and never looks at epsilon; the tool does so only to leave out the classes that come
    after one by which a sample broke inside the ball. Here none is left out, so one run serves every epsilon: it asks
    all that the tool asks at any of them.
    """

    component = "fab-t"
    kind = "minimum"
    constants = ("alpha_max", "beta", "eta")
    strength: ClassVar[Mapping[str, Any]] = {"steps": int, "target_classes": int}
    freezable = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.params["restarts"] != 1:
            raise BadSuite(f"attack {self.spec.id!r}: fab-t draws nothing, so restarts repeat it; leave restarts out")

    def _called(self, tool: Any, images: Tensor, labels: Tensor) -> Tensor:
        """The tool's single run for each class; images where none was found."""
        from harness.base.threat import distance

        nearest, reach = images.clone(), images.new_full(images.shape[:1], float("inf")).double()
        for target in range(2, tool.n_target_classes + 2):  # counted from the largest logit, as the tool does
            tool.target_class = target
            made = tool.attack_single_run(images, labels, use_rand_start=False, is_targeted=True)
            far = distance(made, images, self.norm)
            nearer = (far > 0) & (far < reach)
            nearest[nearer], reach[nearer] = made[nearer], far[nearer]
        return nearest


class Square(Single):
    """Square attack, a random search on scores (arXiv:1912.00049)."""

    component = "square"
    constants = ("p_init",)
    strength: ClassVar[Mapping[str, Any]] = {"queries": int}
