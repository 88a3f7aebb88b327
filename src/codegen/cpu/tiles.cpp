// Tile products: sums of products of bytes or bf16 in registers of 16 rows of 64 bytes (AMX). Sums stay in registers over the
// whole reduction and are stored once, where they are read as vectors.
//
// A nest takes tiles where all of its operands lie as tiles need them, wherever its loops are; else it takes words
// (dot.cpp), with the same results for integers. How large a tile is, is state of the thread: each task sets the shapes of
// the first nest in its code, and a nest of other shapes (a remainder) its own around itself.
#include <llvm/IR/IntrinsicsX86.h>

#include "base/error.h"
#include "codegen/cpu/emitter.h"

namespace rooftune::codegen {

using kernel::LoopKind;

namespace {

constexpr size_t kRegisters = 8;
constexpr int64_t kRowBytes = 64;

/// Whether a condition depends on what a stage reduces over.
bool of_reduction(const kernel::Stage& stage, const Index& condition) {
  for (int a = stage.spatial; a < static_cast<int>(stage.axes.size()); ++a)
    if (condition.uses(a)) return true;
  return false;
}

bool is_used(const kernel::ExprNode& node, int axis) {
  auto use = [&](const Index& e) { return e.uses(axis); };
  return std::any_of(node.indices.begin(), node.indices.end(), use) ||
         std::any_of(node.where.begin(), node.where.end(), use);
}

}  // namespace

/// The registers of a nest from `level` inwards; null where it cannot take tiles.
std::shared_ptr<const TilePlan> Emitter::plan_tiles(const Nest& nest, size_t level) {
  const auto& s = stage(nest);
  const auto& all = loops(nest);
  const auto dot = kernel::dot_operands(kernel_, s);
  if (!has_extension("amx-tile") || !has_extension(dot.width == 2 ? "amx-bf16" : "amx-int8")) return nullptr;
  for (int inside : attached_[static_cast<size_t>(nest.stage)])  // might be tiles, too
    if (schedule_.stages[static_cast<size_t>(inside)].at_loop >= static_cast<int>(level)) return nullptr;
  TilePlan plan;
  plan.row_axis = all[all.size() - 3].axis;
  plan.column_axis = all[all.size() - 2].axis;
  plan.word_axis = all.back().axis;
  plan.width = dot.width;
  const auto* a = &s.nodes[static_cast<size_t>(dot.a)];
  const auto* b = &s.nodes[static_cast<size_t>(dot.b)];
  if (is_used(*a, plan.column_axis)) std::swap(a, b);
  if (is_used(*a, plan.column_axis) || is_used(*b, plan.row_axis)) return nullptr;
  plan.a = a, plan.b = b;
  plan.base.assign(nest.base.begin(), nest.base.begin() + s.spatial);
  if (!collect_tiles(nest, level, plan)) return nullptr;
  const size_t rows = plan.rows.size(), columns = plan.columns.size();
  if (rows == 0 || columns == 0 || rows * columns + rows + columns > kRegisters) return nullptr;
  if (!tiles_fit(nest, level, plan)) return nullptr;
  auto& shapes = plan.shapes;
  shapes.assign(static_cast<size_t>(kRowBytes), 0);
  shapes[0] = 1;  // the palette
  auto shape = [&](int tile, int64_t height, int64_t bytes) {
    shapes[16 + 2 * static_cast<size_t>(tile)] = static_cast<uint8_t>(bytes);
    shapes[48 + static_cast<size_t>(tile)] = static_cast<uint8_t>(height);
  };
  const int64_t words = plan.elements / plan.width;
  for (const auto& [at, row] : plan.rows) {
    shape(plan.a_register(row.number), row.size, 4 * words);
    for (const auto& [from, column] : plan.columns)
      shape(plan.sum_register(row.number, column.number), row.size, 4 * column.size);
  }
  for (const auto& [from, column] : plan.columns) shape(plan.b_register(column.number), words, 4 * column.size);
  return std::make_shared<const TilePlan>(std::move(plan));
}

/// Numbers the rows and columns of tiles that the unrolled loops walk.
bool Emitter::collect_tiles(const Nest& nest, size_t level, TilePlan& plan) {
  const auto& loop = loops(nest)[level];
  const auto axis = static_cast<size_t>(loop.axis);
  const bool spatial = loop.axis < stage(nest).spatial;
  if (loop.kind == LoopKind::tile) {
    const auto at = plan.place(nest.base);
    const Index column =
        nest.base[static_cast<size_t>(plan.column_axis)] - plan.base[static_cast<size_t>(plan.column_axis)];
    if (!at || !column.is_constant()) return false;
    const int64_t height = nest.extent[static_cast<size_t>(plan.row_axis)];
    const int64_t length = nest.extent[static_cast<size_t>(plan.column_axis)];
    if (height > kernel::kTileRows || length > kernel::kTileRows) return false;
    plan.rows.try_emplace(*at, TilePlan::Part{static_cast<int>(plan.rows.size()), height});
    plan.columns.try_emplace(column.constant(), TilePlan::Part{static_cast<int>(plan.columns.size()), length});
    return true;
  }
  if (!spatial) return collect_tiles(nest, level + 1, plan);
  if (loop.kind != LoopKind::unrolled) return false;
  const int64_t extent = nest.extent[axis];
  if (extent > 8 * loop.step) return false;
  for (int64_t i = 0; i < extent; i += loop.step) {
    Nest inner = nest;
    inner.base[axis] = nest.base[axis] + Index(i);
    inner.extent[axis] = std::min(loop.step, extent - i);
    if (!collect_tiles(inner, level + 1, plan)) return false;
  }
  return true;
}

/// Whether every tile that the loops from `level` on walk can be read as it lies.
bool Emitter::tiles_fit(const Nest& nest, size_t level, TilePlan& plan) {
  const auto& loop = loops(nest)[level];
  if (loop.kind == LoopKind::tile) return tile_fits(nest, plan);
  const auto axis = static_cast<size_t>(loop.axis);
  const int64_t extent = nest.extent[axis], full = extent / loop.step, tail = extent % loop.step;
  if (stage(nest).axes[axis].live >= 0) return false;
  auto fits = [&](const Index& base, int64_t left) {
    Nest inner = nest;
    inner.base[axis] = base;
    inner.extent[axis] = left;
    std::vector<Index> branch_on;
    return !settle(inner, branch_on) || tiles_fit(inner, level + 1, plan);
  };
  if (loop.kind == LoopKind::unrolled) {
    for (int64_t i = 0; i < full; ++i)
      if (!fits(nest.base[axis] + Index(i * loop.step), loop.step)) return false;
  } else if (full > 0) {
    const Index turn = full == 1 ? Index(0) : Index::variable(variables_.add({0, full - 1}));
    if (!fits(nest.base[axis] + turn * loop.step, loop.step)) return false;
  }
  return tail == 0 || fits(nest.base[axis] + Index(full * loop.step), tail);
}

bool Emitter::tile_fits(const Nest& nest, TilePlan& plan) {
  const auto& s = stage(nest);
  const int64_t elements = nest.extent[static_cast<size_t>(plan.word_axis)];
  if (elements > kernel::kTileRows * plan.width || elements % plan.width != 0) return false;
  // The shapes of tiles cannot change before the sums are stored.
  if (plan.elements != 0 && plan.elements != elements) return false;
  plan.elements = elements;
  for (int a = 0; a < static_cast<int>(s.axes.size()); ++a)
    if (a != plan.row_axis && a != plan.column_axis && a != plan.word_axis && nest.extent[static_cast<size_t>(a)] != 1)
      return false;
  // Rows of the first operand can be left out; all else must be there.
  auto proven = [&](const Index& condition) { return range_now(nest, condition, nullptr).lo >= 0; };
  auto of_rows = [&](const Index& condition) {
    return proven(condition) || (!condition.uses(plan.column_axis) && !condition.uses(plan.word_axis));
  };
  for (const auto& condition : nest.conditions)
    if (!proven(condition) && (!of_reduction(s, condition) || !of_rows(condition))) return false;
  return std::all_of(plan.a->where.begin(), plan.a->where.end(), of_rows) &&
         std::all_of(plan.b->where.begin(), plan.b->where.end(), proven) && tile_at(nest, plan, plan.a) &&
         tile_at(nest, plan, plan.b) && tile_at(nest, plan, nullptr);
}

/// Where the tile of an operand (null: of the sums) lies: its first element, and bytes from row to row.
std::optional<Emitter::TileAddress> Emitter::tile_at(const Nest& nest, const TilePlan& plan,
                                                     const kernel::ExprNode* operand) {
  const auto row = static_cast<size_t>(plan.row_axis), column = static_cast<size_t>(plan.column_axis),
             word = static_cast<size_t>(plan.word_axis);
  const int64_t columns = nest.extent[column];
  Nest at = nest;
  auto span = [&](size_t axis, int variable, int64_t step, int64_t extent) {
    variables_.set_range(variable, {0, extent - 1});
    if (extent > 1) at.base[axis] = at.base[axis] + Index::variable(variable) * step;
    return extent > 1;
  };
  // The elements of a row: of the sums and of the second operand (in words) by columns.
  const bool second = operand == plan.b && operand != nullptr;
  bool lanes = false, within = false;
  if (second) {
    span(word, Variables::kRow, plan.width, plan.elements / plan.width);
    within = span(word, Variables::kDot, 1, plan.width);
    lanes = span(column, Variables::kLane, 1, columns);
  } else {
    span(row, Variables::kRow, 1, nest.extent[row]);
    if (operand == nullptr) lanes = span(column, Variables::kLane, 1, columns);
    else within = span(word, Variables::kDot, 1, plan.elements);
  }
  const auto& s = stage(nest);
  const int buffer = operand == nullptr ? s.buffer : operand->buffer;
  std::vector<Index> index;
  for (const auto& e : operand == nullptr ? s.out_indices : operand->indices) index.push_back(current(at, e));
  const Index offset = address(places_[static_cast<size_t>(buffer)], index);
  for (int v : {Variables::kLane, Variables::kDot, Variables::kRow}) variables_.set_range(v, {0, 0});
  for (int v : {Variables::kLane, Variables::kDot, Variables::kRow})
    if (offset.appears_inside(v)) return std::nullopt;
  const int64_t apart = offset.coefficient(Variables::kRow);
  if (within && offset.coefficient(Variables::kDot) != 1) return std::nullopt;
  if (lanes && offset.coefficient(Variables::kLane) != (second ? plan.width : 1)) return std::nullopt;
  const auto bytes = static_cast<int64_t>(ir::byte_size(kernel_.buffers[static_cast<size_t>(buffer)].dtype, 1));
  Index start = offset;
  for (int v : {Variables::kLane, Variables::kDot, Variables::kRow})
    start = start - Index::variable(v) * offset.coefficient(v);
  return TileAddress{buffer, start, apart * bytes};
}

void Emitter::accumulate_in_tiles(const Nest& nest, size_t level, bool cleared,
                                  const std::shared_ptr<const TilePlan>& plan) {
  const bool home = tile_shapes_.empty() || tile_shapes_ == plan->shapes;
  if (tile_shapes_.empty()) {
    tile_shapes_ = plan->shapes;
    llvm::IRBuilder<> at(entry_->getTerminator());
    set_tile_shapes(at, tile_shapes_);
  }
  if (!home) set_tile_shapes(b_, plan->shapes);
  tiles_held_.fill({});
  Nest inner = nest;
  inner.tiles = plan;
  Nest outside = inner;
  std::erase_if(outside.conditions, [&](const Index& c) { return of_reduction(stage(nest), c); });
  outside.mode = cleared ? Nest::Mode::clear_local : Nest::Mode::load_local;
  walk(outside, level);
  walk_on(inner, level);
  outside.mode = Nest::Mode::store_local;
  walk(outside, level);
  if (!home) set_tile_shapes(b_, tile_shapes_);
}

void Emitter::set_tile_shapes(llvm::IRBuilder<>& at, const std::vector<uint8_t>& shapes) {
  auto* data = llvm::ConstantDataArray::get(context_, llvm::ArrayRef<uint8_t>(shapes));
  auto* constant =
      new llvm::GlobalVariable(module_, data->getType(), true, llvm::GlobalValue::PrivateLinkage, data, "tiles");
  constant->setAlignment(llvm::Align(kRowBytes));
  at.CreateIntrinsic(llvm::Intrinsic::x86_ldtilecfg, {}, {constant});
}

void Emitter::tile_leaf(const Nest& nest) {
  const TilePlan& plan = *nest.tiles;
  const auto at = plan.place(nest.base);
  const Index from =
      nest.base[static_cast<size_t>(plan.column_axis)] - plan.base[static_cast<size_t>(plan.column_axis)];
  RT_CHECK(at && from.is_constant(), "a tile of stage {} has no register", stage(nest).name);
  const auto& row = plan.rows.at(*at);
  const auto& column = plan.columns.at(from.constant());
  auto* sum = b_.getInt8(static_cast<uint8_t>(plan.sum_register(row.number, column.number)));
  if (nest.mode == Nest::Mode::clear_local) {
    b_.CreateIntrinsic(llvm::Intrinsic::x86_tilezero, {}, {sum});
    return;
  }
  if (nest.mode != Nest::Mode::compute) {
    const auto address = tile_at(nest, plan, nullptr);
    const Place& place = places_[static_cast<size_t>(address->buffer)];
    auto* pointer =
        pointer_to(place.pointer, kernel_.buffers[static_cast<size_t>(address->buffer)].dtype, address->start);
    const bool store = nest.mode == Nest::Mode::store_local;
    if (store) std::erase_if(loaded_, [&](const auto& entry) { return std::get<0>(entry.first) == address->buffer; });
    b_.CreateIntrinsic(store ? llvm::Intrinsic::x86_tilestored64 : llvm::Intrinsic::x86_tileloadd64, {},
                       {sum, pointer, b_.getInt64(static_cast<uint64_t>(address->stride))});
    return;
  }
  const int a = plan.a_register(row.number), b = plan.b_register(column.number);
  load_tile(nest, plan, a, plan.a);
  load_tile(nest, plan, b, plan.b);
  const bool a_signed = ir::is_signed(plan.a->type), b_signed = ir::is_signed(plan.b->type);
  const auto id = plan.width == 2 ? llvm::Intrinsic::x86_tdpbf16ps
                  : a_signed      ? (b_signed ? llvm::Intrinsic::x86_tdpbssd : llvm::Intrinsic::x86_tdpbsud)
                  : b_signed      ? llvm::Intrinsic::x86_tdpbusd
                                  : llvm::Intrinsic::x86_tdpbuud;
  b_.CreateIntrinsic(id, {}, {sum, b_.getInt8(static_cast<uint8_t>(a)), b_.getInt8(static_cast<uint8_t>(b))});
}

/// Brings an operand's tile into a register, unless that holds it already.
void Emitter::load_tile(const Nest& nest, const TilePlan& plan, int tile, const kernel::ExprNode* operand) {
  const auto address = tile_at(nest, plan, operand);
  RT_CHECK(address, "an operand of stage {} does not lie as a tile", stage(nest).name);
  // Rows that are not there: of a condition of the stage nothing is added, of one of the load its other value.
  std::vector<Index> skipped, replaced;
  auto open = [&](const std::vector<Index>& conditions, std::vector<Index>& of_rows) {
    for (const auto& condition : conditions) {
      if (range_now(nest, condition, nullptr).lo >= 0) continue;
      Nest at = nest;
      auto& base = at.base[static_cast<size_t>(plan.row_axis)];
      base = base + Index::variable(Variables::kRow);
      variables_.set_range(Variables::kRow, {0, nest.extent[static_cast<size_t>(plan.row_axis)] - 1});
      of_rows.push_back(current(at, condition));
      variables_.set_range(Variables::kRow, {0, 0});
    }
  };
  if (operand == plan.a) open(nest.conditions, skipped), open(operand->where, replaced);
  std::vector<Index> conditions = skipped;
  conditions.insert(conditions.end(), replaced.begin(), replaced.end());
  HeldTile wanted{address->buffer, address->start, conditions, b_.GetInsertBlock()};
  HeldTile& held = tiles_held_[static_cast<size_t>(tile)];
  if (held == wanted) return;
  const Place& place = places_[static_cast<size_t>(address->buffer)];
  const DType type = kernel_.buffers[static_cast<size_t>(address->buffer)].dtype;
  auto* number = b_.getInt8(static_cast<uint8_t>(tile));
  auto* stride = b_.getInt64(static_cast<uint64_t>(address->stride));
  if (conditions.empty()) {
    b_.CreateIntrinsic(llvm::Intrinsic::x86_tileloadd64, {},
                       {number, pointer_to(place.pointer, type, address->start), stride});
    held = wanted;
    return;
  }
  const int64_t height = nest.extent[static_cast<size_t>(plan.row_axis)];
  const bool linear = std::none_of(conditions.begin(), conditions.end(),
                                   [](const Index& c) { return c.appears_inside(Variables::kRow); });
  llvm::Value* whole = b_.getFalse();
  if (linear) whole = b_.CreateAnd(row_exists(conditions, 0), row_exists(conditions, height - 1));
  auto* before = b_.GetInsertBlock();
  auto* direct = llvm::BasicBlock::Create(context_, "tile", function_);
  auto* by_rows = llvm::BasicBlock::Create(context_, "rows", function_);
  auto* done = llvm::BasicBlock::Create(context_, "loaded", function_);
  b_.CreateCondBr(whole, direct, by_rows);
  b_.SetInsertPoint(direct);
  b_.CreateIntrinsic(llvm::Intrinsic::x86_tileloadd64, {},
                     {number, pointer_to(place.pointer, type, address->start), stride});
  b_.CreateBr(done);
  b_.SetInsertPoint(by_rows);
  copy_rows(nest, plan, *address, skipped, replaced, tile, operand->value);
  b_.CreateBr(done);
  b_.SetInsertPoint(done);
  for (HeldTile& other : tiles_held_)
    if (other.block == before) other.block = done;  // still there
  wanted.block = done;
  held = wanted;
}

/// Whether the conditions hold in row `r` of a tile.
llvm::Value* Emitter::row_exists(const std::vector<Index>& conditions, int64_t r) {
  llvm::Value* all = b_.getTrue();
  for (const auto& condition : conditions) {
    const Index e =
        simplify(condition.substitute([&](int v) { return v == Variables::kRow ? Index(r) : Index::variable(v); }),
                 variables_.range_of());
    all = b_.CreateAnd(all, b_.CreateICmpSGE(emit_index(e), b_.getInt64(0)));
  }
  return all;
}

/// Loads a tile some of whose rows do not exist from a copy.
void Emitter::copy_rows(const Nest& nest, const TilePlan& plan, const TileAddress& address,
                        const std::vector<Index>& skipped, const std::vector<Index>& replaced, int tile,
                        double otherwise) {
  const Place& place = places_[static_cast<size_t>(address.buffer)];
  const DType type = kernel_.buffers[static_cast<size_t>(address.buffer)].dtype;
  auto*& copy = tile_copies_[static_cast<size_t>(tile)];
  if (copy == nullptr) copy = allocate_stack(b_.getInt8Ty(), kernel::kTileRows * kRowBytes);
  const int lanes = static_cast<int>(kernel::kTileRows), words = static_cast<int>(plan.elements) / plan.width;
  std::vector<llvm::Constant*> there;
  for (int i = 0; i < lanes; ++i) there.push_back(b_.getInt1(i < words));
  llvm::Value* limit = llvm::ConstantVector::get(there);
  auto* vector = llvm_type(DType::i32, lanes);
  llvm::Value* replacement = llvm::Constant::getNullValue(vector);
  if (otherwise != 0) {
    auto* element = number(type, otherwise);
    auto* elements = b_.CreateVectorSplat(static_cast<unsigned>(lanes * plan.width), element);
    replacement = b_.CreateBitCast(elements, vector);
  }
  auto* first = pointer_to(place.pointer, type, address.start);
  for (int64_t r = 0; r < nest.extent[static_cast<size_t>(plan.row_axis)]; ++r) {
    auto* counts = row_exists(skipped, r);
    auto* taken = b_.CreateAnd(counts, row_exists(replaced, r));
    auto* mask = b_.CreateAnd(limit, b_.CreateVectorSplat(static_cast<unsigned>(lanes), taken));
    auto* pointer = b_.CreateConstGEP1_64(b_.getInt8Ty(), first, static_cast<uint64_t>(r * address.stride));
    llvm::Value* value = b_.CreateMaskedLoad(vector, pointer, llvm::Align(1), mask, replacement);
    if (otherwise != 0) value = b_.CreateSelect(counts, value, llvm::Constant::getNullValue(vector));
    b_.CreateAlignedStore(value, b_.CreateConstGEP1_64(b_.getInt8Ty(), copy, static_cast<uint64_t>(r * kRowBytes)),
                          llvm::Align(kRowBytes));
  }
  b_.CreateIntrinsic(llvm::Intrinsic::x86_tileloadd64, {},
                     {b_.getInt8(static_cast<uint8_t>(tile)), copy, b_.getInt64(kRowBytes)});
}

}  // namespace rooftune::codegen
