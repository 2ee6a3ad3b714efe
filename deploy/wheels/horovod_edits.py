"""What is changed in Horovod 0.28.1, the last release, so that it builds against a current torch and runs on CPUs."""

from source_edits import Cut, Edit

NAME = "horovod"
RELEASE = "0.28.1"
VERSION = "0.28.1+oncotrain4"
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

_WAIT = "a rank that waits for another must take neither processor nor interpreter from its loader, or from that rank"
_EVENT = "between tensors, ranks exchanged empty messages every millisecond, which took a tenth of the processor"
_HALF = "halves were added one by one in software: a sum of float16 took four times as long as that of float32"
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
    Cut(
        "horovod/torch/mpi_ops_v2.cc",
        "  while (true) {\n    if (handle_manager.PollHandle(handle)) break;",
        "  auto status = handle_manager.ReleaseHandle(handle);",
        """\
  {
    py::gil_scoped_release release_python_gil;
    while (!handle_manager.PollHandle(handle)) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
""",
        _WAIT,
    ),
    Edit(
        "horovod/common/tensor_queue.h",
        "  void FinalizeTensorQueue(const Status& status);",
        """\
  // Wait up to `limit` for a tensor where none is under way; false, at once, where one is.
  bool WaitForTensor(std::chrono::milliseconds limit);

  void FinalizeTensorQueue(const Status& status);""",
        _EVENT,
    ),
    Edit(
        "horovod/common/tensor_queue.h",
        "  mutable std::mutex mutex_;",
        "  mutable std::mutex mutex_;\n\n  std::condition_variable added_;",
        _EVENT,
    ),
    Edit(
        "horovod/common/tensor_queue.h",
        "#include <mutex>",
        "#include <chrono>\n#include <condition_variable>\n#include <mutex>",
        _EVENT,
    ),
    Edit(
        "horovod/common/tensor_queue.cc",
        "  message_queue_.push(std::move(message));\n  return Status::OK();",
        "  message_queue_.push(std::move(message));\n  added_.notify_one();\n  return Status::OK();",
        _EVENT,
    ),
    Edit(
        "horovod/common/tensor_queue.cc",
        "    message_queue_.push(std::move(messages[i]));\n  }",
        "    message_queue_.push(std::move(messages[i]));\n  }\n  added_.notify_one();",
        _EVENT,
    ),
    Edit(
        "horovod/common/tensor_queue.cc",
        "// Execute callback for each tensor and clear tensor queue",
        """\
bool TensorQueue::WaitForTensor(std::chrono::milliseconds limit) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!tensor_table_.empty()) {
    return false;
  }
  added_.wait_for(lock, limit, [this] { return !message_queue_.empty(); });
  return true;
}

// Execute callback for each tensor and clear tensor queue""",
        _EVENT,
    ),
    Edit(
        "horovod/common/operations.cc",
        "  if (sleep_duration > std::chrono::steady_clock::duration::zero()) {",
        """\
  // Ranks that have nothing to send need not say so a thousand times a second. A rank that has waits in the exchange
  // for the others, who join when they have, too, or want to end, or after this long.
  auto& tensors = state.process_set_table.Get(0).tensor_queue;
  if (!tensors.WaitForTensor(std::chrono::milliseconds(100)) &&
      sleep_duration > std::chrono::steady_clock::duration::zero()) {""",
        _EVENT,
    ),
    # The flags that all of Horovod is compiled with decide, and not a variable that its build never sets.
    Edit("third_party/gloo/gloo/math.h", "#if GLOO_USE_AVX", "#if __AVX__ && __F16C__", _HALF),
    Edit("third_party/gloo/gloo/math.cc", "#if GLOO_USE_AVX", "#if __AVX__ && __F16C__", _HALF, count=2),
    Edit(
        "third_party/gloo/gloo/CMakeLists.txt",
        'DIR}/gatherv.cc"',
        'DIR}/gatherv.cc"\n  "${CMAKE_CURRENT_SOURCE_DIR}/math.cc"',
        _HALF,
    ),
    Edit("horovod/__init__.py", f"'{RELEASE}'", f"'{VERSION}'", "tells the patched build from the release"),
)
