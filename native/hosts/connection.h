// One connection to another node: TLS over a non-blocking socket, frames in and out. Knows nothing of who the
// peer may be but that its certificate is valid.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "record_socket.h"
#include "space.h"
#include "tls.h"
#include "wire.h"

namespace ivshmem::hosts {

class Connection {
 public:
  enum class Stage : uint8_t { kConnecting, kHandshake, kOpen, kBroken };
  enum class Got : uint8_t { kFrame, kNothing, kBroken };

  // Takes the socket over, which may still be connecting. `deadline` is for the handshake and the hello.
  Connection(int fd, SSL_CTX* context, bool client, uint64_t now, uint64_t deadline);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  int fd() const { return fd_; }
  bool client() const { return client_; }
  Stage stage() const { return stage_; }
  // Of kBroken.
  const std::string& why() const { return why_; }
  SSL* ssl() const { return ssl_.get(); }
  void Break(std::string why);

  // Goes on with connecting and the handshake.
  void Advance();
  // The next whole frame of the peer's: frame() and body() until the next call.
  Got Receive(uint64_t now);
  const Frame& frame() const { return reader_.frame(); }
  std::span<const std::byte> body() const { return reader_.body(); }

  // In order. Of a page's bytes only the place is kept, which stays held until they are copied.
  void Send(const Frame& frame, Space& space, uint32_t page_frame);
  void Send(const Frame& frame, std::vector<std::byte> body = {});
  // Gives the socket what it takes.
  void Flush(uint64_t now);
  // A space goes: what it has not begun to send is not sent.
  void Forget(const Space& space);
  // What waits by now is of views that have gone: it does not count as what the peer asked for in this one.
  void Excuse() {
    excused_ = queue_.size();
    excused_kept_ = kept_;
  }
  // What waits since then: frames, and bytes that are kept for them besides the pages.
  size_t frames_waiting() const { return queue_.size() - excused_; }
  uint64_t bytes_kept() const { return kept_ - excused_kept_; }

  bool wants_read() const { return stage_ != Stage::kConnecting && !paused; }
  bool wants_write() const { return stage_ == Stage::kConnecting || blocked_; }
  // Receive() found no frame, and may the next time without the socket becoming readable.
  bool ahead() const { return stage_ == Stage::kOpen && socket_.ahead(); }
  // Flush() stopped though the socket takes more.
  bool has_more() const { return stage_ == Stage::kOpen && !blocked_ && (plain_end_ > 0 || !queue_.empty()); }

  // --- the owner's notes ---
  bool paused = false;  // the frame here waits for a view
  bool unread = false;  // there may be more frames without the socket becoming readable
  int node = -1;        // who is to be, or is, at the other end
  bool up = false;
  uint64_t paused_at = 0;
  uint32_t watched = 0;  // epoll events
  uint64_t deadline;

  uint64_t heard_at, said_at, taken_at;
  uint64_t bytes_in = 0, bytes_out = 0, waiting = 0;

 private:
  struct Item {
    HeaderBytes header;
    std::vector<std::byte> body;
    Space* space = nullptr;  // its bytes come from there
    uint32_t frame = kNoFrame;
    uint32_t length = 0;
  };

  static constexpr size_t kRecord = 16384;  // RFC 8446 §5.1: the most a record has

  void Enqueue(Item item);
  void Dequeue(size_t index);
  std::span<const std::byte> Record();
  void Wrote();
  void Fill();
  void LeaveIfDone();
  std::span<const std::byte> BodyOf(const Item& item) const;
  // False: it is broken now.
  bool Failed(int result, const char* what);

  int fd_;
  bool client_;
  Stage stage_ = Stage::kConnecting;
  std::string why_;
  RecordSocket socket_;
  Ssl ssl_;
  FrameReader reader_;
  std::deque<Item> queue_;
  size_t excused_ = 0;  // of queue_, the first ones
  uint64_t kept_ = 0, excused_kept_ = 0;  // bytes of bodies in it
  size_t begun_ = 0;   // bytes of the first item that are in plain_ or beyond
  size_t direct_ = 0;  // and of those that follow them, how many are being written from where they are
  std::vector<std::byte> plain_;
  size_t plain_end_ = 0;
  bool blocked_ = false;
  uint64_t records_ = 0;
};

}  // namespace ivshmem::hosts
