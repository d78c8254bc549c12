"""Two checkpoints of the zoo side by side.

python examples/compare_models.py [N]
"""

import sys
from pathlib import Path

import harness
from harness.errors import MissingPackage

n = int(sys.argv[1]) if len(sys.argv) > 1 else 200
results = [harness.evaluate(name, "fgsm", "signs", n=n) for name in ("standard", "trades")]
for result in results:
    accuracy = [result.robust_accuracy(epsilon) for epsilon in result.summary["grid"]]
    print(f"{result.summary['model']:10} clean {result.clean_accuracy:.3f}, FGSM {accuracy}")
try:
    axes = None
    for result in results:
        axes = result.plot(axes)
    axes.figure.savefig(Path("compare.svg"))
except MissingPackage as error:
    print(error)
