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
  if (joins_ > 0) add(ActionType::kJoin, nodes_.size());
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
      for (size_t p = 0; p < kPages; p++) programs_[at].stored[p] = own_[p];
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
    case ActionType::kJoin: {
      joins_--;
      const View alone{view_.epoch, Bit(Id(at))};
      view_ = {view_.epoch + 1, view_.alive | Bit(Id(at))};
      up_ |= Bit(Id(at));
      nodes_.emplace_back(Id(at), Shape{pages_, nodes_formed_, replicas_}, alone, false, pages_);
      nodes_[at].Install(view_, out);
      break;
    }
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

void State::StoreOwn(size_t node, size_t page) {
  places_[node][page].frame[node] = ++own_[page][node];
}

void State::Acknowledge(size_t node, size_t page) {
  Place& place = places_[node][page];
  place.mapped = std::min(place.mapped, place.limit);
  place.restricting = false;
}

// It takes nothing for a copy of the page.
void State::Forge(const Scenario& scenario, size_t node, size_t page, std::string& violation) {
  Outputs asked, out;
  nodes_[node].Roomed(page, asked);
  for (const Output& output : asked) {
    Packet forged{About(MessageType::kReplicate, page), {}, Byte((1u << kBytes) - 1)};
    forged.message.requester = Id(node);
    forged.message.epoch = output.message.epoch;
    nodes_[node].Receive(output.to, forged.message, out);
    std::erase_if(out, [](const Output& one) { return one.message.type == MessageType::kReplicated; });
    Perform(scenario, node, out, forged, violation);
  }
}

// As Space::Apply: what is written here and not told of stays, and so does what is on its way.
void State::Take(const Scenario& scenario, Place& place, const Packet& packet) {
  for (size_t i = 0; i < kBytes; i++) {
    const unsigned bit = 1u << i;
    const bool own = !place.ordered && (place.mask & bit) != 0 && scenario.mutant != Mutant::kClobber;
    if ((packet.mask & bit) == 0 || own) continue;
    if (place.twinned && place.twin[i] == packet.values[i]) continue;
    place.frame[i] = place.twin[i] = packet.values[i];
  }
}

void State::Synced(size_t node, SyncTicket ticket) {
  Program& program = programs_[node];
  const auto raise = [](Values& to, const Values& from) {
    for (size_t i = 0; i < kNodes; i++) to[i] = std::max(to[i], from[i]);
  };
  switch (ticket) {
    case kFlushing:
      if (!program.flushing) return;
      program.flushing = false;
      for (size_t page = 0; page < pages_; page++) {
        released_[page][node] = std::max(released_[page][node], program.stored[page][node]);
        program.stored[page] = {};
      }
      return;
    case kRefreshing:
      if (!program.refreshing) return;
      program.refreshing = false;
      for (size_t page = 0; page < pages_; page++) {
        raise(places_[node][page].floor, program.released[page]);
        program.released[page] = {};
      }
      return;
    case kLocking:
      if (program.lock == Program::kLocks) program.lock = Program::kIn;
      return;
    default:
      if (program.lock != Program::kUnlocks) return;
      program.lock = Program::kOut;
      released_[0][kLocked] = locked_;
      owner_ = kNodes;
      // Whoever comes next has it from this one, and need not know of a death before.
      owned_since_ = 0;
  }
}

void State::Perform(const Scenario& scenario, size_t node, const Outputs& outputs, const Packet& packet,
                    std::string& violation) {
  const bool early = scenario.mutant == Mutant::kEarlyAck;
  for (const Output& output : outputs) {
    Place* place = output.page < kPages ? &places_[node][output.page] : nullptr;
    switch (output.type) {
      case OutputType::kSend: {
        Packet sent{output.message, {}, 0};
        if (sent.message.type == MessageType::kData) sent.values = place->frame;
        if (sent.message.type == MessageType::kMerge || sent.message.type == MessageType::kReplicate) {
          if (recovering_call_ && scenario.mutant == Mutant::kForgetMerge) break;
          sent.values = place->diff;
          sent.mask = place->mask;
          if (sent.message.type == MessageType::kMerge) place->ordered = false;
        }
        // It has been answered before.
        const bool late = sent.message.type == MessageType::kMerged && scenario.mutant == Mutant::kUnkept;
        if (late && packet.message.type == MessageType::kReplicated) break;
        if (Alive(output.to) && output.message.epoch > cut_) wires_[node][output.to].push_back(sent);
        break;
      }
      case OutputType::kInstall:
        place->frame = packet.values;
        break;
      case OutputType::kTwin:
        if (place->mapped == Right::kWrite) violation = "a copy is made of what members may change";
        if (scenario.mutant != Mutant::kLateTwin) place->twin = place->frame;
        place->twinned = true;
        break;
      case OutputType::kDiff:
        compares_[node].emplace_back(Byte(output.page), output.right == Right::kWrite);
        if (output.right != Right::kWrite && place->mapped == Right::kWrite)
          violation = "the last difference while members may store";
        break;
      case OutputType::kApply:
        if (packet.message.type == MessageType::kReplicate && scenario.mutant == Mutant::kEmptyPass) break;
        Take(scenario, *place, packet);
        break;
      case OutputType::kOrdered:
        place->ordered = true;
        break;
      case OutputType::kPass:
      case OutputType::kCopy: {
        Packet sent{output.message, packet.values, packet.mask};
        if (output.type == OutputType::kCopy) {
          sent.values = place->twinned ? place->twin : place->frame;
          sent.mask = Byte((1u << kBytes) - 1);
        }
        if (Alive(output.to) && output.message.epoch > cut_) wires_[node][output.to].push_back(sent);
        if (output.type == OutputType::kPass && scenario.mutant == Mutant::kUnkept) {
          sent = {About(MessageType::kMerged, output.page), {}, 0};
          sent.message.version = output.message.version;
          sent.message.epoch = output.message.epoch;
          const size_t writer = output.message.requester;
          if (Alive(writer)) wires_[node][writer].push_back(sent);
        }
        break;
      }
      case OutputType::kRoom: {
        if (scenario.mutant == Mutant::kStaleKeeper) {
          Forge(scenario, node, output.page, violation);
          break;
        }
        Outputs more;
        nodes_[node].Roomed(output.page, more);
        Perform(scenario, node, more, packet, violation);
        break;
      }
      case OutputType::kForgetDiff:
        place->diff = {};
        place->mask = 0;
        break;
      case OutputType::kMap:
        if (place->restricting) violation = "mapped while being restricted";
        place->mapped = std::max(place->mapped, output.right);
        if (output.right >= place->waiting) place->waiting = Right::kNone;
        break;
      case OutputType::kRestrict:
        place->restricting = true;
        place->limit = output.right;
        if (early) {
          Outputs more;
          nodes_[node].Restricted(output.page, more);
          Perform(scenario, node, more, packet, violation);
        }
        break;
      case OutputType::kFree:
        if (place->mapped != Right::kNone && !early) violation = "a mapped frame is given up";
        place->twin = {};
        place->twinned = false;
        break;
      case OutputType::kFail:
        place->waiting = Right::kNone;
        if (!Lost(output.page)) violation = "lost, but somebody alive keeps it";
        break;
      case OutputType::kSynced:
        programs_[node].under_way &= Byte(~(1u << output.page));
        Synced(node, output.page);
        break;
      case OutputType::kReject:
        // Of a home that is gone, in this check's view of it, nothing is to be said.
        violation = "a message between honest nodes is rejected";
        break;
    }
  }
}

}  // namespace ivshmem::dsm::release_model
