#include "release_world.h"

#include <algorithm>

namespace ivshmem::dsm::release_model {

namespace {

NodeId Id(size_t node) { return static_cast<NodeId>(node); }

uint8_t Byte(size_t number) { return static_cast<uint8_t>(number); }

}  // namespace

State::State(const Scenario& scenario)
    : nodes_formed_(static_cast<uint8_t>(scenario.nodes - scenario.joins)),
      pages_(scenario.pages),
      replicas_(scenario.replicas),
      faults_(scenario.faults),
      stores_(scenario.stores),
      flushes_(scenario.flushes),
      refreshes_(scenario.refreshes),
      locks_(scenario.locks),
      evictions_(scenario.evictions),
      deaths_(scenario.deaths),
      views_(scenario.views),
      joins_(scenario.joins) {
  view_.alive = Bit(nodes_formed_) - 1;
  up_ = view_.alive;
  const Shape shape{pages_, nodes_formed_, replicas_};
  for (size_t node = 0; node < nodes_formed_; node++)
    nodes_.emplace_back(Id(node), shape, view_, true, pages_);
}

// Nobody that is there keeps it.
bool State::Lost(size_t page) const {
  for (size_t node = 0; node < nodes_.size(); node++) {
    if (Alive(node) && nodes_[node].Keeps(page)) return false;
  }
  return true;
}

std::vector<Action> State::Actions(const Scenario& scenario) const {
  std::vector<Action> actions;
  const auto add = [&](ActionType type, size_t node, size_t from = 0, size_t page = 0, size_t right = 0) {
    actions.push_back({type, Byte(node), Byte(from), Byte(page), Byte(right)});
  };
  for (size_t node = 0; node < nodes_.size(); node++) {
    if (!Alive(node)) continue;
    for (size_t from = 0; from < nodes_.size(); from++) {
      const auto& wire = wires_[from][node];
      if (wire.empty()) continue;
      add(ActionType::kDeliver, node, from);
      const bool repeats = scenario.mutant == Mutant::kRepeat && repeats_ > 0;
      if (repeats && wire.front().message.type == MessageType::kMerge) add(ActionType::kRepeat, node, from);
    }
    if (!compares_[node].empty()) add(ActionType::kCompare, node);
    const Program& program = programs_[node];
    for (size_t page = 0; page < pages_; page++) {
      const Place& place = places_[node][page];
      if (place.restricting) add(ActionType::kAck, node, 0, page);
      for (size_t right = 1; right <= 2 && faults_ > 0; right++) {
        const auto wanted = static_cast<Right>(right);
        if (wanted > place.mapped && wanted > place.waiting) add(ActionType::kFault, node, 0, page, right);
      }
      if (place.mapped == Right::kWrite && stores_ > 0 && !Lost(page)) add(ActionType::kStore, node, 0, page);
      if (evictions_ > 0 && nodes_[node].held(page) != Right::kNone) add(ActionType::kEvict, node, 0, page);
    }
    const auto free = [&](Waits waits) { return (program.under_way & 1u << waits) == 0; };
    if (flushes_ > 0 && free(kFlushing)) add(ActionType::kFlush, node);
    if (refreshes_ > 0 && free(kRefreshing)) add(ActionType::kRefresh, node);
    const bool may_lock = locks_ > 0 && owner_ == kNodes && nodes_[node].epoch() >= owned_since_;
    const bool out = program.lock == Program::kOut && free(kLocking) && free(kUnlocking);
    if (may_lock && out && !Lost(0)) add(ActionType::kLock, node);
    if (program.lock == Program::kIn) {
      if (places_[node][0].mapped == Right::kWrite && stores_ > 0 && !Lost(0)) {
        add(ActionType::kStoreLocked, node);
      }
      add(ActionType::kUnlock, node);
    }
    if (deaths_ > 0) add(ActionType::kDie, node);
    // Who is not in it does not hear of it.
    const bool sits = (view_.alive & Bit(Id(node))) != 0;
    if (sits && nodes_[node].epoch() < view_.epoch) add(ActionType::kInstall, node);
  }
  if (views_ > 0) add(ActionType::kNewView, 0);
  if (joins_ == 0) return actions;
  if (nodes_.size() < scenario.nodes) add(ActionType::kJoin, nodes_.size());
  // The same number in a new life.
  for (size_t node = 0; node < nodes_.size(); node++) {
    if (!Alive(node)) add(ActionType::kJoin, node);
  }
  return actions;
}

bool State::Apply(const Scenario& scenario, const Action& action, std::string& violation) {
  Outputs out;
  Packet packet;
  const size_t node = action.node;
  if (action.type == ActionType::kDeliver || action.type == ActionType::kRepeat) {
    auto& wire = wires_[action.from][node];
    packet = wire.front();
    recovering_call_ = packet.message.type == MessageType::kFlush;
    if (nodes_[node].Receive(action.from, packet.message, out) == ReleaseNode::Taken::kLater) return false;
    wire.erase(wire.begin());
    if (action.type == ActionType::kRepeat) {
      // Once more at any later time, and its answer is lost.
      repeats_--;
      packet.message.requester = 1;
      wire.push_back(packet);
      packet.message.requester = 0;
    }
    if (scenario.mutant == Mutant::kRepeat && packet.message.requester == 1) {
      std::erase_if(out, [](const Output& output) { return output.type == OutputType::kSend; });
    }
  } else {
    recovering_call_ = action.type == ActionType::kInstall;
    Do(scenario, action, out);
  }
  Perform(scenario, node, out, packet, violation);
  if (violation.empty()) violation = Check();
  return true;
}

void State::Do(const Scenario& scenario, const Action& action, Outputs& out) {
  const size_t at = action.node;
  const size_t page = action.page;
  const auto begin = [&](Waits ticket, SyncKind kind) {
    programs_[at].under_way |= Byte(1u << ticket);
    nodes_[at].Sync(ticket, kind, out);
    const bool early = kind == SyncKind::kFlush ? scenario.mutant == Mutant::kEarlyRelease
                                                : scenario.mutant == Mutant::kEarlyAcquire;
    if (early) Synced(at, ticket);
  };
  switch (action.type) {
    case ActionType::kAck:
      Acknowledge(at, page);
      if (scenario.mutant != Mutant::kEarlyAck) nodes_[at].Restricted(page, out);
      break;
    case ActionType::kCompare: {
      const auto [compared, stays] = compares_[at].front();
      compares_[at].pop_front();
      Place& place = places_[at][compared];
      uint8_t mask = 0;
      for (size_t i = 0; i < kBytes; i++) {
        if (place.frame[i] != place.twin[i] || scenario.mutant == Mutant::kNoTwin) mask |= Byte(1u << i);
      }
      const Place before = place;
      place.diff = place.frame;
      place.mask = mask;
      place.ordered = false;
      if (!nodes_[at].Diffed(compared, mask != 0, out)) {
        place = before;
      } else {
        place.twin = place.frame;
        place.twinned = stays;
      }
      break;
    }
    case ActionType::kFault:
      faults_--;
      places_[at][page].waiting = static_cast<Right>(action.right);
      nodes_[at].Fault(page, static_cast<Right>(action.right), out);
      break;
    case ActionType::kStore:
      stores_--;
      StoreOwn(at, page);
      break;
    case ActionType::kFlush:
      flushes_--;
      programs_[at].flushing = true;
      for (size_t p = 0; p < kPages; p++) {
        programs_[at].stored[p] = own_[p];
        if ((anew_[at] & 1u << p) != 0) programs_[at].stored[p][at] = 0;
      }
      begin(kFlushing, SyncKind::kFlush);
      break;
    case ActionType::kRefresh:
      refreshes_--;
      programs_[at].refreshing = true;
      programs_[at].released = released_;
      begin(kRefreshing, SyncKind::kRefresh);
      break;
    case ActionType::kLock:
      locks_--;
      owner_ = Byte(at);
      programs_[at].lock = Program::kLocks;
      begin(kLocking, SyncKind::kRefresh);
      break;
    case ActionType::kStoreLocked: {
      stores_--;
      doubtful_ = false;
      places_[at][0].frame[kLocked] = ++locked_;
      break;
    }
    case ActionType::kUnlock:
      programs_[at].lock = Program::kUnlocks;
      begin(kUnlocking, SyncKind::kFlush);
      break;
    case ActionType::kEvict:
      evictions_--;
      nodes_[at].Evict(page, out);
      break;
    case ActionType::kDie:
      Die(scenario, at);
      break;
    case ActionType::kNewView:
      // The same hosts, after connections were lost with what was on them.
      views_--;
      cut_ = view_.epoch++;
      for (auto& from : wires_) {
        for (auto& wire : from) wire.clear();
      }
      break;
    case ActionType::kInstall:
      nodes_[at].Install(view_, out);
      for (size_t from = 0; from < kNodes; from++) {
        if ((view_.alive & Bit(Id(from))) == 0) wires_[from][at].clear();
      }
      break;
    case ActionType::kJoin:
      Join(at);
      nodes_[at].Install(view_, out);
      break;
    default:
      break;
  }
}

void State::Die(const Scenario& scenario, size_t at) {
  deaths_--;
  view_ = {view_.epoch + 1, view_.alive & ~Bit(Id(at))};
  if (scenario.mutant == Mutant::kTwoHomes) return;
  up_ &= ~Bit(Id(at));
  for (auto& from : wires_) from[at].clear();
  if (owner_ == at) {
    // What it stored may have come home, or not.
    Program& program = programs_[at];
    if (program.lock != Program::kLocks && locked_ != released_[0][kLocked]) {
      doubtful_ = true;
      before_ = released_[0][kLocked];
    }
    owner_ = kNodes;
    owned_since_ = view_.epoch;
  }
}

void State::Join(size_t at) {
  joins_--;
  const View alone{view_.epoch, Bit(Id(at))};
  view_ = {view_.epoch + 1, view_.alive | Bit(Id(at))};
  up_ |= Bit(Id(at));
  ReleaseNode node(Id(at), Shape{pages_, nodes_formed_, replicas_}, alone, false, pages_);
  if (at == nodes_.size()) return nodes_.push_back(std::move(node));
  nodes_[at] = std::move(node);
  places_[at] = {};
  programs_[at] = {};
  compares_[at].clear();
  for (auto& wire : wires_[at]) wire.clear();
  anew_[at] = Byte((1u << kPages) - 1);
}

void State::StoreOwn(size_t node, size_t page) {
  places_[node][page].frame[node] = ++own_[page][node];
  anew_[node] &= Byte(~(1u << page));
  if (replicas_ > 1) places_[node][page].frame[kRaced] = ++raced_;
}

void State::Acknowledge(size_t node, size_t page) {
  Place& place = places_[node][page];
  place.mapped = std::min(place.mapped, place.limit);
  place.restricting = false;
}

}  // namespace ivshmem::dsm::release_model
