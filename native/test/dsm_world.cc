#include "dsm_world.h"

#include <algorithm>

namespace ivshmem::dsm::model {

namespace {

NodeId Id(int node) { return static_cast<NodeId>(node); }

uint8_t Byte(int number) { return static_cast<uint8_t>(number); }

const char* kTypes[] = {"get",  "forward", "invalidate", "invalidated", "data",   "grant",     "done",
                        "fail", "evict",   "evicted",    "flush",       "report", "report-end",
                        "merge", "merged"};
const char* kRights[] = {"none", "read", "write"};

}  // namespace

State::State(const Scenario& scenario)
    : pages_(scenario.pages),
      faults_(scenario.faults),
      evictions_(scenario.evictions),
      deaths_(scenario.deaths),
      partitions_(scenario.partitions),
      joins_(scenario.joins) {
  const int formed = scenario.nodes - scenario.joins;
  view_.alive = Bit(Id(formed)) - 1;
  up_ = view_.alive;
  const Shape shape{static_cast<PageId>(pages_), Id(formed)};
  for (int node = 0; node < formed; node++) nodes_.emplace_back(Id(node), shape, view_, true);
  for (int page = 0; page < pages_; page++) {
    places_[static_cast<size_t>(page % formed)][static_cast<size_t>(page)].current = true;
  }
}

void State::Write(int writer, PageId page) {
  for (auto& places : places_) places[page].current = false;
  for (auto& from : wires_) {
    for (auto& wire : from) {
      for (Packet& packet : wire) {
        if (packet.message.page == page) packet.current = false;
      }
    }
  }
  places_[static_cast<size_t>(writer)][page].current = true;
}

std::vector<Action> State::Actions(const Scenario& scenario) const {
  std::vector<Action> actions;
  const int count = static_cast<int>(nodes_.size());
  const auto add = [&](ActionType type, int node, int from = 0, int page = 0, int right = 0) {
    actions.push_back({type, Byte(node), Byte(from), Byte(page), Byte(right)});
  };
  for (int node = 0; node < count; node++) {
    const auto to = static_cast<size_t>(node);
    for (int from = 0; from < count; from++) {
      const size_t length = wires_[static_cast<size_t>(from)][to].size();
      if (!Alive(node) || length == 0) continue;
      add(ActionType::kDeliver, node, from);
      if (faulty_ > 0 && Alive(from)) {
        if (scenario.mutant == Mutant::kReorder && length > 1) add(ActionType::kDeliver, node, from + 16);
        if (scenario.mutant == Mutant::kLose) add(ActionType::kLose, node, from);
        if (scenario.mutant == Mutant::kDuplicate) add(ActionType::kDuplicate, node, from);
      }
    }
    if (!Alive(node)) continue;
    for (int page = 0; page < pages_; page++) {
      const Place& place = places_[to][static_cast<size_t>(page)];
      if (place.restricting) add(ActionType::kAck, node, 0, page);
      for (int right = 1; right <= 2 && faults_ != 0; right++) {
        const bool useful = right > static_cast<int>(place.mapped) && right > static_cast<int>(place.waiting);
        if (useful && Counts(node)) add(ActionType::kFault, node, 0, page, right);
      }
      if (evictions_ != 0 && Counts(node) && nodes_[to].held(static_cast<PageId>(page)) != Right::kNone) {
        add(ActionType::kEvict, node, 0, page);
      }
    }
    if (deaths_ > 0) add(ActionType::kDie, node);
    if (partitions_ > 0 && Counts(node)) add(ActionType::kPartition, node);
    if ((leaving_ & Bit(Id(node))) != 0) {
      const auto mapped = [](const Place& place) { return place.mapped != Right::kNone; };
      if (std::none_of(places_[to].begin(), places_[to].end(), mapped)) add(ActionType::kExclude, node);
    }
    const bool told = (view_.alive & Bit(Id(node))) != 0;
    if (told && Counts(node) && nodes_[to].epoch() < view_.epoch) add(ActionType::kInstall, node);
  }
  if (joins_ > 0) add(ActionType::kJoin, count);
  return actions;
}

bool State::Apply(const Scenario& scenario, const Action& action, std::string& violation) {
  Outputs outputs;
  const int node = action.node;
  const size_t at = action.node;
  const PageId page = action.page;
  bool current = false;
  bool exclusive = false;
  const auto leave = [&] {
    view_.epoch++;
    view_.alive &= ~Bit(Id(node));
    leaving_ &= ~Bit(Id(node));
  };
  switch (action.type) {
    case ActionType::kDeliver:
    case ActionType::kDuplicate: {
      std::vector<Packet>& wire = wires_[action.from % 16][at];
      const size_t position = action.from / 16;
      const Packet packet = wire[position];
      current = packet.current;
      exclusive = packet.message.type == MessageType::kData && packet.message.right == Right::kWrite;
      if (nodes_[at].Receive(action.from % 16, packet.message, outputs) == Node::Taken::kLater) return false;
      if (action.type == ActionType::kDuplicate) {
        faulty_--;
      } else {
        if (position > 0) faulty_--;
        wire.erase(wire.begin() + static_cast<std::ptrdiff_t>(position));
      }
      break;
    }
    case ActionType::kLose:
      faulty_--;
      wires_[action.from][at].erase(wires_[action.from][at].begin());
      break;
    case ActionType::kAck:
      Acknowledge(node, page);
      if (scenario.mutant == Mutant::kEarlyAck) break;
      nodes_[at].Restricted(page, outputs);
      break;
    case ActionType::kFault:
      if (faults_ > 0) faults_--;
      places_[at][page].waiting = static_cast<Right>(action.right);
      nodes_[at].Fault(page, static_cast<Right>(action.right), outputs);
      break;
    case ActionType::kEvict:
      if (!nodes_[at].Evict(page, outputs)) return false;
      if (evictions_ > 0) evictions_--;
      break;
    case ActionType::kDie:
      deaths_--;
      up_ &= ~Bit(Id(node));
      for (auto& from : wires_) from[at].clear();
      if ((view_.alive & Bit(Id(node))) != 0) leave();
      break;
    case ActionType::kPartition:
      partitions_--;
      leaving_ |= Bit(Id(node));
      if (scenario.mutant == Mutant::kNoLease) {
        leave();
      } else {
        nodes_[at].Fence(outputs);
      }
      break;
    case ActionType::kExclude:
      leave();
      break;
    case ActionType::kInstall:
      nodes_[at].Install(view_, outputs);
      for (size_t from = 0; from < kNodes; from++) {
        if ((view_.alive & Bit(Id(static_cast<int>(from)))) == 0) wires_[from][at].clear();
      }
      break;
    case ActionType::kJoin: {
      joins_--;
      const View alone{view_.epoch, Bit(Id(node))};
      view_ = {view_.epoch + 1, view_.alive | Bit(Id(node))};
      up_ |= Bit(Id(node));
      const auto homes = Id(scenario.nodes - scenario.joins);
      nodes_.emplace_back(Id(node), Shape{static_cast<PageId>(pages_), homes}, alone, false);
      nodes_[at].Install(view_, outputs);
      break;
    }
  }
  // The only copy, from a host that lives: of whatever epoch it is, it has to be taken.
  const bool delivered = action.type == ActionType::kDeliver && current && exclusive;
  const auto installs = [](const Output& output) { return output.type == OutputType::kInstall; };
  if (delivered && Member(action.from % 16) && Counts(node) &&
      std::none_of(outputs.begin(), outputs.end(), installs)) {
    violation = "the only copy is dropped";
  }
  Perform(node, outputs, current, scenario.mutant == Mutant::kEarlyAck, violation);
  if (violation.empty()) violation = Check();
  return true;
}

// A member may write until the last moment in which its mapping allows it: so it does, then.
void State::Acknowledge(int node, PageId page) {
  Place& place = places_[static_cast<size_t>(node)][page];
  if (place.mapped == Right::kWrite) Write(node, page);
  place.mapped = std::min(place.mapped, place.limit);
  place.restricting = false;
}

void State::Perform(int node, const Outputs& outputs, bool current, bool early, std::string& violation) {
  const auto at = static_cast<size_t>(node);
  for (const Output& output : outputs) {
    Place* place = output.page < kPages ? &places_[at][output.page] : nullptr;
    switch (output.type) {
      case OutputType::kSend: {
        const bool bytes = output.message.type == MessageType::kData;
        if (bytes && place->mapped > (output.message.right == Right::kWrite ? Right::kNone : Right::kRead)) {
          violation = "bytes leave while members may change them";
        }
        if (Alive(output.to)) {
          wires_[at][output.to].push_back({output.message, bytes && place->current});
        }
        break;
      }
      case OutputType::kInstall:
        place->current = current;
        break;
      case OutputType::kMap:
        if (place->restricting) violation = "mapped while being restricted";
        place->mapped = std::max(place->mapped, output.right);
        if (output.right >= place->waiting) place->waiting = Right::kNone;
        if (output.right == Right::kWrite) {
          if (!place->current) violation = "a stale page is mapped for writing";
          Write(node, output.page);
        }
        break;
      case OutputType::kRestrict:
        place->restricting = true;
        place->limit = output.right;
        if (early) {
          Outputs more;
          nodes_[at].Restricted(output.page, more);
          Perform(node, more, false, early, violation);
        }
        break;
      case OutputType::kFree:
        if (place->mapped != Right::kNone) violation = "a mapped frame is given up";
        place->current = false;
        break;
      case OutputType::kFail:
        place->waiting = Right::kNone;
        if (output.failure == Failure::kLost && CopyExists(output.page))
          violation = "lost, but a copy is alive";
        break;
      case OutputType::kReject:
        violation = std::string("rejected: ") + kTypes[static_cast<size_t>(output.message.type)];
        break;
      default:
        break;  // of release consistency
    }
  }
}

bool State::CopyExists(PageId page) const {
  for (size_t node = 0; node < nodes_.size(); node++) {
    if (!Member(node)) continue;
    if (places_[node][page].current && nodes_[node].held(page) != Right::kNone) return true;
    for (size_t from = 0; from < nodes_.size(); from++) {
      if (!Member(from)) continue;
      for (const Packet& packet : wires_[from][node]) {
        if (packet.current && packet.message.page == page) return true;
      }
    }
  }
  return false;
}

std::string State::Check() const {
  for (size_t page = 0; page < static_cast<size_t>(pages_); page++) {
    int writers = 0;
    int readers = 0;
    for (size_t node = 0; node < nodes_.size(); node++) {
      const Place& place = places_[node][page];
      if (!Alive(static_cast<int>(node)) || place.mapped == Right::kNone) continue;
      (place.mapped == Right::kWrite ? writers : readers)++;
      if (!place.current) return "a stale page can be read";
    }
    if (writers > 1) return "two writers";
    if (writers == 1 && readers > 0) return "a reader beside a writer";
  }
  return "";
}

bool State::AtRest(const Scenario& scenario) const {
  for (const Action& action : Actions(scenario)) {
    if (!ByItself(action)) continue;
    State next = *this;
    std::string violation;
    if (next.Apply(scenario, action, violation)) return false;
  }
  return true;
}

std::string State::CheckAtRest() const {
  for (size_t node = 0; node < nodes_.size(); node++) {
    if (!Member(node)) continue;
    const std::string name = "node " + std::to_string(node);
    if (!nodes_[node].quiet()) return name + " waits for ever";
    for (const Place& place : places_[node]) {
      if (place.waiting != Right::kNone) return "a fault in " + name + " waits for ever";
    }
  }
  return "";
}

void State::Digest(std::vector<uint64_t>& words) const {
  words.clear();
  words.insert(words.end(), {view_.epoch, view_.alive, up_, leaving_});
  const auto left = [](int number) { return static_cast<uint64_t>(number + 1); };
  words.push_back(left(faults_) << 40 | left(evictions_) << 32 | left(deaths_) << 24 |
                  left(partitions_) << 16 | left(joins_) << 8 | left(faulty_));
  for (size_t node = 0; node < nodes_.size(); node++) {
    if (Alive(static_cast<int>(node))) nodes_[node].Digest(words);
    for (const Place& place : places_[node]) {
      words.push_back((place.current ? 1u : 0u) | (place.restricting ? 2u : 0u) |
                      static_cast<unsigned>(place.mapped) << 2 | static_cast<unsigned>(place.waiting) << 4 |
                      (place.restricting ? static_cast<unsigned>(place.limit) << 6 : 0u));
    }
    for (const auto& wire : wires_[node]) {
      words.push_back(wire.size());
      for (const Packet& packet : wire) {
        const Message& message = packet.message;
        words.push_back(
            static_cast<uint64_t>(message.type) << 32 | static_cast<uint64_t>(message.right) << 24 |
            static_cast<uint64_t>(message.failure) << 20 | static_cast<uint64_t>(message.requester) << 12 |
            message.epoch << 4 | message.page << 1 | (packet.current ? 1u : 0u));
      }
    }
  }
}

std::string Describe(const Action& action) {
  static const char* names[] = {
      "receives from", "loses a message of", "receives twice from", "acknowledges",      "faults", "evicts",
      "dies",          "loses its lease",    "is declared gone",    "installs the view", "joins"};
  std::string text = "node " + std::to_string(action.node) + " " + names[static_cast<size_t>(action.type)];
  switch (action.type) {
    case ActionType::kDeliver:
    case ActionType::kLose:
    case ActionType::kDuplicate:
      text += " node " + std::to_string(action.from % 16) + (action.from >= 16 ? " the second in line" : "");
      break;
    case ActionType::kFault:
      text += std::string(" to ") + kRights[action.right];
      [[fallthrough]];
    case ActionType::kAck:
    case ActionType::kEvict:
      text += " page " + std::to_string(action.page);
      break;
    default:
      break;
  }
  return text;
}

}  // namespace ivshmem::dsm::model
