// What nodes want done, in the model of release consistency.
#include <algorithm>

#include "release_world.h"

namespace ivshmem::dsm::release_model {

namespace {

uint8_t Byte(size_t number) { return static_cast<uint8_t>(number); }

}  // namespace

// It takes nothing for a copy of the page.
void State::Forge(const Scenario& scenario, size_t node, size_t page, std::string& violation) {
  Outputs asked, out;
  nodes_[node].Roomed(page, asked);
  for (const Output& output : asked) {
    Packet forged{About(MessageType::kReplicate, page), {}, Byte((1u << kBytes) - 1)};
    forged.message.requester = static_cast<NodeId>(node);
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
