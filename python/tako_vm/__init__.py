"""The configuration of takod, for Python programs: see tako_vm.config."""
__version__ = "0.1.0"
