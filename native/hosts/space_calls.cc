// What members say to each other through their nodes: "look again", and "is that one still here?". None of it
// is about pages, and nobody relies on it: whoever waits calls again.
#include "space.h"

namespace ivshmem::hosts {

using dsm::NodeId;
using dsm::shared::kAskCall;
using dsm::shared::kGoneOrder;
using dsm::shared::kWakeOrder;
using dsm::shared::PartyOf;

namespace {

// For a member that does not do its orders: more calls than that are lost.
constexpr size_t kMostOrders = 1024;

uint64_t NodeOf(uint64_t party) { return party >> 40; }
uint32_t SlotOf(uint64_t party) { return static_cast<uint32_t>(party >> 32 & 0xff); }

}  // namespace

void Space::Call(uint32_t slot, const dsm::shared::FaultEntry& call) {
  const uint64_t party = call.page;
  const uint64_t node = NodeOf(party);
  // A host that does not take part: it was fenced, and its members with it, before the others were told.
  if (node >= dsm::kMaxNodes || (alive_ & dsm::Bit(static_cast<NodeId>(node))) == 0)
    return Answer(slot, kGoneOrder, party);
  if (node != place_.self) {
    Frame frame;
    frame.type = call.access == kAskCall ? kAsk : kWake;
    frame.space = id_;
    frame.message.page = party;
    frame.message.version = slot;
    around_.Call(static_cast<NodeId>(node), frame);
  } else if (!Here(party)) {
    Answer(slot, kGoneOrder, party);
  } else if (call.access != kAskCall) {
    Answer(SlotOf(party), kWakeOrder, party);
  }
}

bool Space::Called(NodeId from, const Frame& frame) {
  const uint64_t party = frame.message.page;
  const uint64_t slot = frame.message.version;
  if (slot >= dsm::shared::kMaxSlots || NodeOf(party) != (frame.type == kGone ? from : place_.self))
    return false;
  if (frame.type == kGone) {
    if (slot < place_.slots) Answer(static_cast<uint32_t>(slot), kGoneOrder, party);
  } else if (!Here(party)) {
    Frame answer = frame;
    answer.type = kGone;
    around_.Call(from, answer);
  } else if (frame.type == kWake) {
    Answer(SlotOf(party), kWakeOrder, party);
  }
  return true;
}

// A member is a party from when its opening is served until it closes the space or leaves the region.
// One that has gone is here as long as what it stored is not everywhere, in whichever space.
bool Space::Here(uint64_t party) const {
  const uint32_t slot = SlotOf(party);
  if (slot >= place_.slots) return false;
  if (around_.Departing(slot)) return true;
  if (!ports_[slot].rings) return false;
  return PartyOf(place_.self, slot, ports_[slot].rings->opened()) == party;
}

void Space::Answer(uint32_t slot, dsm::shared::OrderOp op, uint64_t party) {
  const Port& port = ports_[slot];
  if (port.rings && port.rings->open().size() < kMostOrders) Give(slot, {party, 0, op, 0, 1});
}

}  // namespace ivshmem::hosts
