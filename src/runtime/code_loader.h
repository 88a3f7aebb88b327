// Loads a code object into this process: from memory (memfd), or where that is forbidden from a private temporary file
// that is removed at once.
#pragma once
#include <string>

#include "codegen/code_object.h"

namespace rooftune::runtime {

/// Why this processor cannot run code for `target`: the features of it ("x86_64-avx512", "x86_64-avx2+avx512vnni", …) that
/// it lacks, or that the target is no kind of this machine's code. Empty where it can.
std::string why_not_here(const std::string& target);
/// EnvironmentError naming the features of `target` ("x86_64-avx512", "x86_64-avx2+avx512vnni", …) that this processor
/// lacks, or where the target is no kind of this machine's code.
void check_target(const std::string& target);

enum class CodeStore { memory, temporary_file };

class LoadedCode {
 public:
  /// EnvironmentError where the code cannot run here or the system refuses to load it; InputError for damaged code.
  explicit LoadedCode(const codegen::CodeObject& object, CodeStore store = CodeStore::memory);
  ~LoadedCode();
  LoadedCode(LoadedCode&& other) noexcept;
  LoadedCode& operator=(LoadedCode&&) = delete;

  void* symbol(const std::string& name) const;  // InternalError where the object does not have it

 private:
  void* handle_ = nullptr;
  int descriptor_ = -1;
};

}  // namespace rooftune::runtime
