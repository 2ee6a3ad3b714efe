"""What is changed in Horovod 0.28.1, the last release, so that it builds against a current torch and runs on CPUs."""

from source_edits import Edit

NAME = "horovod"
RELEASE = "0.28.1"
VERSION = "0.28.1+oncotrain2"
SHA256 = "92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0"  # the source distribution

# Gloo alone: no MPI on the machines, and no other framework in the environment.
BUILD_ENVIRONMENT = {
    "HOROVOD_WITH_PYTORCH": "1",
    "HOROVOD_WITHOUT_TENSORFLOW": "1",
    "HOROVOD_WITHOUT_MXNET": "1",
    "HOROVOD_WITHOUT_MPI": "1",
    "HOROVOD_WITH_GLOO": "1",
    "LDFLAGS": "-Wl,-s",
}

_WAIT = "a rank that waits for another must not take the processor from the loader, or from that other rank"
_CPP20 = "torch's headers are C++20 since 2.14"
_CPU = "PyPI's torch is a CUDA build: without a CUDA toolkit its CPU half is all there is to build against"

EDITS = (
    Edit("CMakeLists.txt", "CMAKE_CXX_STANDARD 14", "CMAKE_CXX_STANDARD 20", _CPP20),
    Edit("horovod/torch/CMakeLists.txt", "CMAKE_CXX_STANDARD 14", "CMAKE_CXX_STANDARD 20", _CPP20),
    Edit(
        "cmake/Modules/FindPytorch.cmake",
        "(torch.version.cuda is not None) and (CUDA_HOME is not None)",
        "False",
        _CPU,
    ),
    Edit(
        "horovod/torch/mpi_ops_v2.cc",
        "std::this_thread::yield();",
        "std::this_thread::sleep_for(std::chrono::microseconds(50));",
        _WAIT,
    ),
    Edit("horovod/__init__.py", f"'{RELEASE}'", f"'{VERSION}'", "tells the patched build from the release"),
)
