#include "runtime/memory_plan.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace rooftune::runtime {
namespace {

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

bool overlap(const Lifetime& a, const Lifetime& b) { return a.first <= b.last && b.first <= a.last; }

/// Places the pieces in the given order, each into the smallest gap between those alive with it that holds it.
size_t place_in_order(const std::vector<Lifetime>& pieces, const std::vector<int>& order,
                      std::vector<size_t>& offsets) {
  struct Span {
    size_t begin, end;
  };
  std::vector<int> placed;
  std::vector<Span> taken;
  size_t total = 0;
  for (int i : order) {
    const Lifetime& piece = pieces[static_cast<size_t>(i)];
    taken.clear();
    for (int j : placed) {
      if (!overlap(piece, pieces[static_cast<size_t>(j)])) continue;
      const size_t begin = offsets[static_cast<size_t>(j)];
      taken.push_back({begin, begin + pieces[static_cast<size_t>(j)].bytes});
    }
    std::sort(taken.begin(), taken.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
    size_t best = SIZE_MAX, best_gap = SIZE_MAX, end = 0;
    for (const Span& span : taken) {
      if (span.begin > end && span.begin - end >= piece.bytes && span.begin - end < best_gap) {
        best = end;
        best_gap = span.begin - end;
      }
      end = std::max(end, span.end);
    }
    offsets[static_cast<size_t>(i)] = best == SIZE_MAX ? end : best;
    total = std::max(total, offsets[static_cast<size_t>(i)] + piece.bytes);
    placed.push_back(i);
  }
  return total;
}

void touch(Lifetime& group, int first, int last) {
  group.first = std::min(group.first, first);
  group.last = std::max(group.last, last);
}

/// What an iteration finds and what it hands on lives as long as the loop does, and so does all that it reads from
/// outside: the next iteration reads it again.
void extend_over_loops(const Program& program, const std::vector<int>& root, std::vector<Lifetime>& groups) {
  const auto group = [&](int slot) -> Lifetime& {
    return groups[static_cast<size_t>(root.at(static_cast<size_t>(slot)))];
  };
  for (const Loop& loop : program.loops) {
    const int first = static_cast<int>(loop.first), last = std::max(first, static_cast<int>(loop.end) - 1);
    for (const auto* slices : {&loop.taken, &loop.given})
      for (const Loop::Slice& slice : *slices) touch(group(slice.outside), first, last);
    for (const Loop::Slice& slice : loop.taken) touch(group(slice.inside), first, last);
    for (const Loop::Slice& slice : loop.given) touch(group(slice.inside), last, last);
    for (const Loop::State& state : loop.states) {
      touch(group(state.initial), first, first);
      touch(group(state.input), first, last);
      touch(group(state.next), last, last);
      if (state.result >= 0) touch(group(state.result), last, last);
    }
    for (size_t i = loop.first; i < loop.end; ++i)
      for (const std::vector<int>* slots :
           {&program.steps[i].slots, &program.steps[i].inputs, &program.steps[i].outputs})
        for (int s : *slots)
          if (s >= 0 && group(s).first < first) touch(group(s), first, last);
  }
}

}  // namespace

int alias_root(const Program& program, int slot) {
  size_t hops = 0;
  while (program.slots.at(static_cast<size_t>(slot)).alias_of >= 0) {
    slot = program.slots[static_cast<size_t>(slot)].alias_of;
    RT_CHECK(++hops <= program.slots.size(), "slot '{}' aliases itself", program.slots[static_cast<size_t>(slot)].name);
  }
  return slot;
}

Place place_of(const Program& program, int slot) {
  Place place{alias_root(program, slot), 0};
  for (size_t hops = 0; program.slots[static_cast<size_t>(place.slot)].part_of >= 0;) {
    const Slot& part = program.slots[static_cast<size_t>(place.slot)];
    place = {alias_root(program, part.part_of), place.offset + part.part_offset};
    RT_CHECK(++hops <= program.slots.size(), "slot '{}' is a part of itself", part.name);
  }
  return place;
}

std::vector<Lifetime> lifetimes(const Program& program) {
  std::vector<Lifetime> groups(program.slots.size());  // by root slot; without bytes: no such group
  std::vector<int> root(program.slots.size());
  for (size_t s = 0; s < program.slots.size(); ++s) {
    const Place place = place_of(program, static_cast<int>(s));
    root[s] = place.slot;
    Lifetime& group = groups[static_cast<size_t>(root[s])];
    group.slot = root[s];
    group.first = static_cast<int>(program.steps.size());
    group.last = -1;
    const Slot& owner = program.slots[static_cast<size_t>(root[s])];
    if (owner.kind == Slot::Kind::temporary && !owner.dynamic)
      group.bytes = std::max(group.bytes, aligned(place.offset + program.slots[s].bytes));
  }
  std::vector<Lifetime> result;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    const int now = static_cast<int>(i);
    for (const std::vector<int>* slots : {&step.slots, &step.inputs, &step.outputs})
      for (int s : *slots)
        if (s >= 0) touch(groups[static_cast<size_t>(root.at(static_cast<size_t>(s)))], now, now);
    if (step.kind != Step::Kind::kernel) continue;
    const size_t workspace = program.code.at(static_cast<size_t>(step.code_object))
                                 .kernels.at(static_cast<size_t>(step.kernel))
                                 .workspace_bytes;
    if (workspace > 0) result.push_back({-1, now, aligned(workspace), now, now, 0});
  }
  extend_over_loops(program, root, groups);
  // A temporary that is an output of the model (by alias or directly) is read after the last step.
  for (int s : program.outputs)
    groups[static_cast<size_t>(root.at(static_cast<size_t>(s)))].last = static_cast<int>(program.steps.size());
  for (const Lifetime& group : groups)
    if (group.bytes > 0 && group.first <= group.last) result.push_back(group);
  return result;
}

size_t place(std::vector<Lifetime>& pieces) {
  std::vector<int> order(pieces.size());
  std::iota(order.begin(), order.end(), 0);
  const auto size = [&](int i) { return static_cast<double>(pieces[static_cast<size_t>(i)].bytes); };
  const auto area = [&](int i) {
    return size(i) * (1 + pieces[static_cast<size_t>(i)].last - pieces[static_cast<size_t>(i)].first);
  };
  // Largest first is nearly always the best; the other order is cheap to try and sometimes wins.
  size_t best = SIZE_MAX;
  std::vector<size_t> offsets(pieces.size());
  for (int attempt = 0; attempt < 2; ++attempt) {
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return attempt == 0 ? size(a) > size(b) : area(a) > area(b); });
    const size_t total = place_in_order(pieces, order, offsets);
    if (total >= best) continue;
    best = total;
    for (size_t i = 0; i < pieces.size(); ++i) pieces[i].offset = offsets[i];
  }
  return pieces.empty() ? 0 : best;
}

void plan_memory(Program& program) {
  std::vector<Lifetime> pieces = lifetimes(program);
  program.arena_bytes = place(pieces);
  for (Slot& slot : program.slots) slot.offset = 0;
  for (const Lifetime& piece : pieces) {
    if (piece.slot >= 0) program.slots[static_cast<size_t>(piece.slot)].offset = piece.offset;
    else program.steps[static_cast<size_t>(piece.step)].workspace = piece.offset;
  }
  for (size_t s = 0; s < program.slots.size(); ++s) {
    const Place place = place_of(program, static_cast<int>(s));
    program.slots[s].offset = program.slots[static_cast<size_t>(place.slot)].offset + place.offset;
  }
}

size_t arena_lower_bound(const Program& program) {
  std::vector<size_t> alive(program.steps.size() + 1);
  for (const Lifetime& piece : lifetimes(program))
    for (int i = piece.first; i <= piece.last; ++i) alive[static_cast<size_t>(i)] += piece.bytes;
  return *std::max_element(alive.begin(), alive.end());
}

}  // namespace rooftune::runtime
