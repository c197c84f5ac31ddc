// How the bytes of pages come in: the socket below TLS (native/hosts/record_socket.h), messages put together
// (wire.h), and frames of neighbours (frames.h, placement.h). Everything comes from a seed.
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "../hosts/record_socket.h"
#include "../hosts/wire.h"
#include "expect.h"
#include "hosts_scene.h"

namespace ivshmem::hosts {

namespace {

using dsm::MessageType;
using dsm::Right;
using Bytes = std::vector<std::byte>;
using Word = std::atomic_ref<uint32_t>;

std::mt19937_64 rng(11);
size_t Below(size_t limit) { return static_cast<size_t>(rng() % limit); }

Bytes Some(size_t count) {
  Bytes bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng());
  return bytes;
}

struct Pair {
  Pair() { EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0); }
  ~Pair() {
    for (const int fd : fds) {
      if (fd >= 0) close(fd);
    }
  }
  size_t unread() const {
    int count = 0;
    EXPECT(ioctl(fds[1], FIONREAD, &count) == 0);
    return static_cast<size_t>(count);
  }

  int fds[2]{-1, -1};
};

// What was written in pieces of any size is read in pieces of any size.
void AnySizes() {
  Pair pair;
  RecordSocket from(pair.fds[0]), to(pair.fds[1]);
  const Bytes bytes = Some(1 << 20);
  Bytes got;
  for (size_t at = 0; got.size() < bytes.size();) {
    if (at < bytes.size()) {
      const ssize_t sent = from.Write(&bytes[at], std::min(bytes.size() - at, 1 + Below(40'000)));
      EXPECT(sent > 0 || errno == EAGAIN);
      if (sent > 0) at += static_cast<size_t>(sent);
    }
    Bytes room(Below(2) == 0 ? 5 : 1 + Below(20'000));
    const ssize_t count = to.Read(room.data(), room.size());
    EXPECT(count > 0 || errno == EAGAIN);
    EXPECT(!to.ended());
    if (count > 0) got.insert(got.end(), room.begin(), room.begin() + count);
  }
  EXPECT(got == bytes);
}

// What is there is read by the first call that asks for some of it, as far as there is room.
void Records() {
  constexpr size_t kRecord = 5 + 16'401;
  Pair pair;
  RecordSocket from(pair.fds[0]), to(pair.fds[1]);
  const Bytes bytes = Some(4 * kRecord);
  EXPECT(from.Write(bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  Bytes got(bytes.size());
  EXPECT(to.Read(got.data(), 5) == 5);
  EXPECT(pair.unread() == 0);
  for (size_t at = 5; at < got.size();) {
    const size_t count = at % kRecord == 0 ? 5 : kRecord - at % kRecord;
    EXPECT(to.Read(&got[at], count) == static_cast<ssize_t>(count));
    at += count;
  }
  EXPECT(got == bytes);
  std::byte none;
  EXPECT(to.Read(&none, 1) < 0 && errno == EAGAIN && !to.ended());
  close(std::exchange(pair.fds[0], -1));
  EXPECT(to.Read(&none, 1) == 0 && to.ended());
}

// Over a peer that is gone nothing ends but the connection.
void Gone() {
  Pair pair;
  RecordSocket socket(pair.fds[1]);
  close(std::exchange(pair.fds[0], -1));
  const std::byte one{};
  EXPECT(socket.Write(&one, 1) < 0 && errno == EPIPE);
}

dsm::Message Data(dsm::PageId page) {
  dsm::Message message = dsm::About(MessageType::kData, page, Right::kRead);
  message.epoch = 1;
  return message;
}

// Messages of all sizes in a stream that is cut anywhere: each comes out once, with its bytes.
void Messages() {
  std::vector<Bytes> bodies;
  Bytes stream;
  for (uint32_t i = 0; i < 600; i++) {
    const bool data = Below(3) > 0;
    const size_t length = data ? size_t{4096} << Below(i % 50 == 0 ? 10 : 4) : 0;
    const dsm::Message message = data ? Data(i) : dsm::About(MessageType::kGet, i, Right::kRead);
    const HeaderBytes header = Encode(FrameOf(i, message, static_cast<uint32_t>(length)));
    bodies.push_back(Some(length));
    stream.insert(stream.end(), header.begin(), header.end());
    stream.insert(stream.end(), bodies.back().begin(), bodies.back().end());
  }
  FrameReader reader;
  size_t at = 0, frames = 0;
  for (;;) {
    const FrameReader::Got got = reader.Next();
    EXPECT(got != FrameReader::Got::kNonsense);
    if (got == FrameReader::Got::kFrame) {
      EXPECT(frames < bodies.size() && reader.frame().space == frames);
      EXPECT(std::ranges::equal(reader.body(), bodies[frames]));
      frames++;
      continue;
    }
    if (at == stream.size()) break;
    const std::span<std::byte> room = reader.Room();
    EXPECT(!room.empty());
    // As records have it, or as they come.
    const size_t most = Below(4) == 0 ? 1 + Below(100) : 16'384;
    const size_t count = std::min({room.size(), stream.size() - at, most});
    std::memcpy(room.data(), &stream[at], count);
    at += count;
    reader.Took(count);
  }
  EXPECT(frames == bodies.size());
}

// Member 1 asks for all pages, and node 1 brings those whose home it is: the frames that it is told.
std::vector<uint32_t> FramesOfAll(Scene& scene) {
  scene.space->Member(1, true, scene.now);
  Word(scene.member(1)->opened).store(5);
  scene.Mark(1);
  scene.space->Serve(scene.now);
  dsm::shared::MemberPage* page = scene.member(1);
  page->faults[0] = {0, dsm::shared::kReadAccess, kPages};
  Word(page->faultHead).store(1);
  scene.Mark(1);
  scene.space->Serve(scene.now);
  const Bytes body = Some(4096);
  for (const Sent& sent : std::vector<Sent>(scene.around.sent)) {
    if (sent.message.type == MessageType::kGet) scene.space->Receive(1, Data(sent.message.page), body, scene.now);
  }
  scene.space->Settle(scene.now);
  std::vector<uint32_t> frames(kPages, kNoFrame);
  for (uint32_t i = 0; i < Word(page->orderHead).load(); i++) {
    const dsm::shared::OrderEntry& order = page->orders[i];
    EXPECT(order.op == dsm::shared::kMapOrder);
    for (uint32_t j = 0; j < order.count; j++) {
      const auto at = static_cast<size_t>(order.page) + j;
      EXPECT(frames[at] == kNoFrame);
      frames[at] = order.frame + j;
    }
  }
  return frames;
}

void Neighbours() {
  const auto sequential = dsm::Consistency::kSequential;
  Scene whole(sequential, 1, kPages);
  // Not twice the frames of its own home.
  EXPECT(whole.place.frames(whole.bytes) == kPages);
  EXPECT(whole.space->cache().count() == kPages / 2 && whole.space->cache().free() == kPages / 2);
  const std::vector<uint32_t> frames = FramesOfAll(whole);
  for (uint32_t page = 0; page < kPages; page++) EXPECT(frames[page] == page);
  EXPECT(whole.space->cache().free() == 0);

  // With few, the pages of the home keep their place, and of the others some are there.
  Scene few(sequential);
  EXPECT(few.place.frames(few.bytes) == kPages / 2 + kLeastCache);
  const std::vector<uint32_t> some = FramesOfAll(few);
  uint32_t others = 0;
  for (uint32_t page = 0; page < kPages; page++) {
    if (page % 2 == 0) EXPECT(some[page] == page / 2);
    if (page % 2 == 1 && some[page] != kNoFrame) others++;
  }
  EXPECT(others == kLeastCache);
}

// One more than it takes, and one less.
void Room() {
  for (const dsm::NodeId homes : {dsm::NodeId{1}, dsm::NodeId{2}, dsm::NodeId{5}}) {
    for (uint64_t pages = 1; pages < 60; pages++) {
      for (dsm::NodeId self = 0; self < 7; self++) {
        const Placement place{12, pages, homes, self, 4, dsm::Consistency::kSequential};
        EXPECT(place.whole(place.bytes(pages)) && place.frames(place.bytes(pages)) == pages);
        EXPECT(!place.whole(place.frames_offset() + (pages - 1) * place.page_bytes()));
        const uint64_t least = place.frames(place.bytes(kLeastCache));
        EXPECT(least == std::min(pages, place.home_frames() + kLeastCache));
      }
    }
  }
}

}  // namespace

}  // namespace ivshmem::hosts

int main() {
  ivshmem::hosts::AnySizes();
  ivshmem::hosts::Records();
  ivshmem::hosts::Gone();
  std::puts("ok socket");
  ivshmem::hosts::Messages();
  std::puts("ok messages");
  ivshmem::hosts::Neighbours();
  ivshmem::hosts::Room();
  std::puts("ok frames");
}
