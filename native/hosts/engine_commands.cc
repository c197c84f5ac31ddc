// What the engine is told to do, by other threads.
#include <unistd.h>

#include <utility>

#include "engine.h"

namespace ivshmem::hosts {

void Engine::Identify(SslContext context) {
  Command([&] { peers_->Identify(std::move(context)); });
}

int Engine::Listen(const std::string& address, uint16_t& port) {
  int error = 0;
  Command([&] { error = peers_->Listen(address, port); });
  return error;
}

void Engine::Expect(dsm::NodeId node, const std::string& name) {
  Command([&] { peers_->Expect(node, name); });
}

int Engine::Connect(dsm::NodeId node, const std::string& address, uint16_t port) {
  int error = 0;
  Command([&] { error = peers_->Connect(node, address, port, now_); });
  return error;
}

void Engine::Disconnect(dsm::NodeId node) {
  Command([&] { peers_->Disconnect(node, "disconnected here"); });
}

bool Engine::Say(dsm::NodeId node, const std::string& text) {
  bool said = false;
  Command([&] {
    Connection* connection = peers_->up(node);
    if (connection == nullptr) return;
    Frame frame;
    frame.type = kTell;
    frame.length = static_cast<uint32_t>(text.size());
    const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
    connection->Send(frame, std::vector<std::byte>(bytes, bytes + text.size()));
    Bound(node, 0, *connection);
    said = true;
  });
  return said;
}

void Engine::Member(uint32_t slot, int eventfd) {
  Command([&] {
    const int before = std::exchange(bells_[slot], eventfd);
    // Gone before another one comes.
    for (const auto& [id, space] : spaces_) {
      if (before >= 0 && eventfd < 0) space->Member(slot, false, now_);
      if (eventfd >= 0) space->Member(slot, true, now_);
    }
    if (before >= 0) close(before);
  });
}

// Nothing passes in this epoch between nodes that are not connected now.
void Engine::CutAbsent(Space& space, dsm::NodeMask alive) {
  for (dsm::NodeId node = 0; node < dsm::kMaxNodes; node++) {
    if (node == options_.self.node || (alive & dsm::Bit(node)) == 0) continue;
    if (peers_->up(node) == nullptr) space.Cut(node);
  }
}

bool Engine::AddSpace(const SpaceOptions& from) {
  bool added = false;
  Command([&] {
    if (find(from.id) != nullptr) return;
    // A node that joins has been alone until the view with it.
    const dsm::View alone{from.view.epoch - 1, dsm::Bit(options_.self.node)};
    auto space = std::make_unique<Space>(from.id, from.place, options_.memory + from.at, from.bytes,
                                         from.forms ? from.view : alone, from.forms, options_.patience_ns,
                                         static_cast<Surroundings&>(*this));
    Space& added_space = *spaces_.emplace(from.id, std::move(space)).first->second;
    Count();
    if (from.forms) {
      CutAbsent(added_space, from.view.alive);
    } else {
      added_space.Install(from.view, now_);
      Count();
      CutAbsent(added_space, from.view.alive);
    }
    for (uint32_t slot = 0; slot < options_.slots; slot++) {
      if (bells_[slot] >= 0) added_space.Member(slot, true, now_);
    }
    peers_->Retry(now_);
    added = true;
  });
  return added;
}

void Engine::RemoveSpace(uint32_t id) {
  Command([&] {
    Space* space = find(id);
    if (space != nullptr) {
      peers_->Forget(*space);
      spaces_.erase(id);
      Count();
    }
    peers_->Retry(now_);
  });
}

bool Engine::Install(uint32_t id, const dsm::View& view) {
  bool found = false;
  Command([&] {
    Space* space = find(id);
    if (space == nullptr) return;
    found = true;
    peers_->Excuse();
    space->Install(view, now_);
    Count();
    CutAbsent(*space, view.alive);
    space->Settle(now_);
    peers_->Retry(now_);
  });
  return found;
}

bool Engine::Fence(uint32_t id, bool removed) {
  bool found = false;
  Command([&] {
    Space* space = find(id);
    if (space == nullptr) return;
    found = true;
    space->Fence(now_, removed);
    space->Settle(now_);
  });
  return found;
}

void Engine::Lease(uint64_t fence, uint64_t members) {
  Command([&] {
    // The one before may have ended unnoticed.
    Lapse();
    fence_at_ = fence;
    members_until_ = members;
  });
}

bool Engine::Report(uint32_t id, SpaceReport& report) {
  bool found = false;
  Command([&] {
    const Space* space = find(id);
    if (space == nullptr) return;
    found = true;
    const auto [owned, shared] = space->Holdings();
    report = {space->consistency(),
              space->replicas(),
              space->node().copies(),
              space->node().epoch(),
              owned,
              shared,
              space->node().dirty(),
              space->node().fenced(),
              space->quiet(),
              space->cache().count(),
              space->cache().free(),
              space->members(),
              space->counters(),
              space->heat()};
  });
  return found;
}

bool Engine::Report(dsm::NodeId node, PeerReport& report) {
  bool found = false;
  Command([&] {
    const Connection* connection = peers_->up(node);
    if (connection == nullptr) return;
    found = true;
    report = {true, connection->bytes_in, connection->bytes_out, connection->waiting};
  });
  return found;
}

}  // namespace ivshmem::hosts
