// A zip archive whose members are stored, mapped: what PyTorch writes (torch.export.save, torch.jit.save, torch.save).
// Members are looked at where they lie in the file, so weights cost no copy.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/tensor.h"

namespace rooftune::frontends::torch_format {

/// Where a member's bytes lie in the archive; they have been checked to lie inside it.
struct Member {
  size_t offset = 0, bytes = 0;
  bool stored = true;  // else compressed
};

class Archive {
 public:
  /// InputError where the bytes are no zip archive, or a truncated or damaged one.
  explicit Archive(std::shared_ptr<ir::Storage> bytes);

  /// Names are below the one folder in which PyTorch puts everything ("models/model.json").
  bool has(const std::string& name) const { return members_.count(name) > 0; }
  /// InputError naming the member that is missing or is compressed.
  const Member& at(const std::string& name) const;
  std::string_view text(const std::string& name) const;
  /// Names that begin and end so, sorted.
  std::vector<std::string> names(std::string_view prefix, std::string_view suffix = "") const;
  const std::shared_ptr<ir::Storage>& storage() const { return bytes_; }

 private:
  std::shared_ptr<ir::Storage> bytes_;
  std::map<std::string, Member> members_;
};

}  // namespace rooftune::frontends::torch_format
