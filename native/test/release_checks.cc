// What programs rely on, in every state of the model of release consistency; and its states as numbers and
// words.
#include <algorithm>

#include "release_world.h"

namespace ivshmem::dsm::release_model {

std::string State::Check() const {
  for (size_t node = 0; node < nodes_.size(); node++) {
    if (!Alive(node)) continue;
    for (size_t page = 0; page < pages_; page++) {
      const Place& place = places_[node][page];
      if (Lost(page) || place.mapped == Right::kNone) continue;
      const bool anew = (anew_[node] & 1u << page) != 0;
      if (!anew && place.frame[node] != own_[page][node]) return "a host does not see what it has stored itself";
      for (size_t i = 0; i < kNodes; i++) {
        if (place.frame[i] < place.floor[i]) return "what was released before the refresh is not seen";
      }
    }
  }
  for (size_t node = 0; node < nodes_.size(); node++) {
    const Place& place = places_[node][0];
    const bool looks = programs_[node].lock == Program::kIn && place.mapped != Right::kNone;
    if (!Alive(node) || Lost(0) || !looks) continue;
    const uint8_t value = place.frame[kLocked];
    if (value != locked_ && (!doubtful_ || value != before_)) return "under the lock an old value is found";
  }
  for (size_t node = 0; node < nodes_.size(); node++) {
    for (size_t page = 0; page < pages_; page++) {
      if (!Alive(node) || !nodes_[node].Keeps(page)) continue;
      for (size_t i = 0; i < kNodes; i++) {
        if (places_[node][page].frame[i] < released_[page][i])
          return "what was released is not with all who keep the page";
      }
    }
  }
  return "";
}

// All that was not written here since, also of a host that has gone and had not released it, and where two
// have raced: else a death of the home would show that they differ.
bool State::Agree(size_t page) const {
  const Values* first = nullptr;
  for (size_t node = 0; node < nodes_.size(); node++) {
    if (!Alive(node) || !nodes_[node].Keeps(page)) continue;
    const Place& place = places_[node][page];
    const Values& values = place.twinned ? place.twin : place.frame;
    if (first == nullptr) first = &values;
    if (values != *first) return false;
  }
  return true;
}

std::string State::CheckAtRest() const {
  for (size_t page = 0; page < pages_; page++) {
    if (!Agree(page)) return "who keeps a page has another one than the others";
  }
  for (size_t node = 0; node < nodes_.size(); node++) {
    if (!Alive(node) || (view_.alive & Bit(static_cast<NodeId>(node))) == 0) continue;
    const std::string name = "node " + std::to_string(node);
    if (!nodes_[node].quiet()) return name + " waits for ever";
    const Program& program = programs_[node];
    if (program.flushing || program.refreshing || program.lock == Program::kLocks ||
        program.lock == Program::kUnlocks) {
      return "a member of " + name + " waits for ever";
    }
    for (size_t page = 0; page < pages_; page++) {
      if (places_[node][page].waiting != Right::kNone) return "a fault in " + name + " waits for ever";
      const bool mapped = places_[node][page].mapped != Right::kNone;
      if (Lost(page) && mapped) return "what is lost stays mapped";
    }
  }
  return "";
}

void State::Digest(std::vector<uint64_t>& words) const {
  words.clear();
  words.insert(words.end(), {view_.epoch, view_.alive, up_, owned_since_});
  const auto pack = [&words](std::initializer_list<uint8_t> bytes) {
    uint64_t word = 0;
    for (const uint8_t byte : bytes) word = word << 8 | byte;
    words.push_back(word);
  };
  pack({faults_, stores_, flushes_, refreshes_, locks_, evictions_, deaths_, views_});
  pack({joins_, repeats_, locked_, doubtful_, before_, owner_, static_cast<uint8_t>(cut_)});
  pack({raced_, anew_[0], anew_[1], anew_[2]});
  const auto values = [&](const Values& from) { pack({from[0], from[1], from[2], from[3], from[4]}); };
  for (size_t page = 0; page < pages_; page++) {
    values(own_[page]);
    values(released_[page]);
  }
  for (size_t node = 0; node < nodes_.size(); node++) {
    if (Alive(node)) nodes_[node].Digest(words);
    for (size_t page = 0; page < pages_; page++) {
      const Place& place = places_[node][page];
      for (const Values* from : {&place.frame, &place.twin, &place.diff, &place.floor}) values(*from);
      pack({place.mask, place.twinned, place.ordered, static_cast<uint8_t>(place.mapped),
            static_cast<uint8_t>(place.waiting),
            static_cast<uint8_t>(place.restricting ? 1 + static_cast<int>(place.limit) : 0)});
      values(programs_[node].stored[page]);
      values(programs_[node].released[page]);
    }
    const Program& program = programs_[node];
    pack({program.flushing, program.refreshing, program.under_way, static_cast<uint8_t>(program.lock)});
    words.push_back(compares_[node].size());
    for (const auto& [page, stays] : compares_[node]) pack({page, stays});
    for (const auto& wire : wires_[node]) {
      words.push_back(wire.size());
      for (const Packet& packet : wire) {
        const Message& message = packet.message;
        pack({static_cast<uint8_t>(message.type), static_cast<uint8_t>(message.epoch), message.requester,
              static_cast<uint8_t>(message.page), static_cast<uint8_t>(message.version), packet.mask});
        values(packet.values);
      }
    }
  }
}

std::string Describe(const Action& action) {
  static const char* names[] = {"receives from", "receives, not for the last time, from", "acknowledges",
                                "compares",      "faults",       "stores",
                                "flushes",       "refreshes",    "locks",
                                "stores under the lock",         "unlocks",
                                "evicts",        "dies",         "(the hosts agree on a new view)",
                                "installs the view",             "joins"};
  std::string text = "node " + std::to_string(action.node) + " " + names[static_cast<size_t>(action.type)];
  switch (action.type) {
    case ActionType::kDeliver:
    case ActionType::kRepeat:
      text += " node " + std::to_string(action.from);
      break;
    case ActionType::kFault:
      text += action.right == 2 ? " to write" : " to read";
      [[fallthrough]];
    case ActionType::kAck:
    case ActionType::kStore:
    case ActionType::kEvict:
      text += " page " + std::to_string(action.page);
      break;
    default:
      break;
  }
  return text;
}

}  // namespace ivshmem::dsm::release_model
