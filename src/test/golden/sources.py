"""Optimizers from beyond torch: where a recording finds them, and what it adds to them."""
import importlib
import importlib.util
import inspect
import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import types

import torch

clones = None       # the folder that record.py was given
extracted = {}      # what has been taken from it


def timm(module):
    """A module of timm.optim, without the packages' own initialization, which needs torchvision."""
    if "timm" not in sys.modules:
        spec = importlib.util.find_spec("timm")
        if spec is None:
            raise SystemExit("timm is needed: pip install timm")
        for name, folder in (("timm", ""), ("timm.optim", "optim")):
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [str(pathlib.Path(spec.origin).parent / folder)]
    return importlib.import_module(f"timm.optim.{module}")


def clone(repository, commit, module, folder=""):
    """A Python module in a folder of a repository's commit."""
    if (repository, commit) not in extracted:
        if clones is None:
            raise SystemExit(f"{repository} is needed: --clones DIR, with a clone of https://github.com/{repository} at DIR/{repository}")
        archive = subprocess.run(["git", "-C", clones / repository, "archive", commit, folder or "."], check=True, stdout=subprocess.PIPE).stdout
        extracted[repository, commit] = tempfile.TemporaryDirectory()
        tarfile.open(fileobj=io.BytesIO(archive)).extractall(extracted[repository, commit].name, filter="data")
    sys.path.insert(0, str(pathlib.Path(extracted[repository, commit].name, folder)))
    return importlib.import_module(module)


def per_parameter(kind):
    """For an optimizer that counts its steps for a group: here it sees the parameters one by one, each with its own count."""
    class PerParameter(kind):
        @torch.no_grad()
        def step(self):
            groups = self.param_groups
            for group in groups:
                for p in group["params"]:
                    if p.grad is not None:
                        count = self.state[p].pop("step", 0)
                        self.param_groups = [group | {"params": [p], "step": count}]
                        super().step()
                        self.state[p]["step"] = count + 1
            self.param_groups = groups
    return PerParameter


def construct(kind, groups, defaults, before=lambda group, p: None):
    """An optimizer on its for-loop path. Its groups keep the options that it does not know; of these `maximize` turns the
    gradients' signs before each step. `before` sees each group and parameter, that has a gradient, after that."""
    known = inspect.signature(kind).parameters
    options = {"foreach": False, "maximize": False} | defaults
    unknown = {key: value for key, value in options.items() if key not in known}
    optimizer = kind([unknown | group for group in groups], **{key: value for key, value in options.items() if key in known})

    def prepare(optimizer, args, kwargs):
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    if "maximize" not in known and group["maximize"]:
                        p.grad.neg_()
                    before(group, p)
    optimizer.register_step_pre_hook(prepare)
    return optimizer
