#include "connection.h"

#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ivshmem::hosts {

namespace {

// Before the others get their turn.
constexpr int kRecordsInARow = 64;
// Far below what one key may protect (RFC 8446 §5.5: 2^24.5 full records), and seldom.
constexpr uint64_t kRecordsPerKey = 1 << 22;

}  // namespace

Connection::Connection(int fd, SSL_CTX* context, bool client, uint64_t now, uint64_t until)
    : deadline(until), heard_at(now), said_at(now), taken_at(now), fd_(fd), client_(client), socket_(fd), plain_(kRecord) {
  ERR_clear_error();
  ssl_.reset(SSL_new(context));
  if (!ssl_ || !Attach(ssl_.get(), socket_)) {
    Break("TLS: " + TlsReason(nullptr));
    return;
  }
  if (client) {
    SSL_set_connect_state(ssl_.get());
  } else {
    SSL_set_accept_state(ssl_.get());
    stage_ = Stage::kHandshake;
  }
}

Connection::~Connection() {
  for (const Item& item : queue_) {
    if (item.space != nullptr) item.space->Unhold(item.frame);
  }
  if (stage_ == Stage::kOpen) SSL_shutdown(ssl_.get());
  ERR_clear_error();
  ssl_.reset();
  close(fd_);
}

void Connection::Break(std::string why) {
  if (stage_ == Stage::kBroken) return;
  stage_ = Stage::kBroken;
  why_ = std::move(why);
}

bool Connection::Failed(int result, const char* what) {
  const int saved = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return true;
    case SSL_ERROR_WANT_WRITE:
      blocked_ = true;
      return true;
    case SSL_ERROR_ZERO_RETURN:
      Break("closed by the other side");
      return false;
    case SSL_ERROR_SYSCALL:
      Break(saved == 0 ? "closed by the other side" : strerrordesc_np(saved));
      return false;
    default: {
      const std::string reason = TlsReason(ssl_.get());
      Break(std::string(what) + ": " + (reason.empty() ? "TLS failed" : reason));
      return false;
    }
  }
}

void Connection::Advance() {
  if (stage_ == Stage::kConnecting) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
    if (error != 0) return Break(strerrordesc_np(error));
    stage_ = Stage::kHandshake;
  }
  if (stage_ != Stage::kHandshake) return;
  blocked_ = false;
  ERR_clear_error();
  errno = 0;
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    stage_ = Stage::kOpen;
  } else {
    Failed(result, "handshake");
  }
}

Connection::Got Connection::Receive(uint64_t now) {
  while (stage_ == Stage::kOpen) {
    const FrameReader::Got got = reader_.Next();
    if (got == FrameReader::Got::kFrame) return Got::kFrame;
    if (got == FrameReader::Got::kNonsense) {
      Break("it sent what is no message");
      break;
    }
    const std::span<std::byte> room = reader_.Room();
    ERR_clear_error();
    errno = 0;
    const int count = SSL_read(ssl_.get(), room.data(), static_cast<int>(room.size()));
    if (count <= 0) return Failed(count, "reading") ? Got::kNothing : Got::kBroken;
    heard_at = now;
    bytes_in += static_cast<uint64_t>(count);
    reader_.Took(static_cast<size_t>(count));
  }
  return stage_ == Stage::kBroken ? Got::kBroken : Got::kNothing;
}

void Connection::Send(const Frame& frame, Space& space, uint32_t page_frame) {
  Item item{Encode(frame), {}, nullptr, kNoFrame, frame.length};
  if (page_frame != kNoFrame) {
    item.space = &space;
    item.frame = page_frame;
    space.Hold(page_frame);
  }
  Enqueue(std::move(item));
}

void Connection::Send(const Frame& frame, std::vector<std::byte> body) {
  Enqueue({Encode(frame), std::move(body), nullptr, kNoFrame, frame.length});
}

void Connection::Enqueue(Item item) {
  waiting += kHeaderBytes + item.length;
  kept_ += item.body.size();
  queue_.push_back(std::move(item));
}

void Connection::Dequeue(size_t index) {
  const size_t bytes = queue_[index].body.size();
  kept_ -= bytes;
  if (index < excused_) {
    excused_--;
    excused_kept_ -= bytes;
  }
  queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(index));
}

std::span<const std::byte> Connection::BodyOf(const Item& item) const {
  return item.space != nullptr ? item.space->frame(item.frame) : std::span<const std::byte>(item.body);
}

// The next record, or the one that was begun: that has to be given again as it was.
std::span<const std::byte> Connection::Record() {
  if (plain_end_ == 0 && direct_ == 0 && begun_ >= kHeaderBytes) {
    // The middle of a large page. OpenSSL copies it before it encrypts, so that nobody can change the record
    // meanwhile.
    const Item& item = queue_.front();
    if (kHeaderBytes + item.length - begun_ >= kRecord) direct_ = kRecord;
  }
  if (direct_ > 0) return BodyOf(queue_.front()).subspan(begun_ - kHeaderBytes, direct_);
  if (plain_end_ == 0) Fill();
  return std::span(plain_).first(plain_end_);
}

void Connection::Wrote() {
  plain_end_ = 0;
  if (direct_ == 0) return;
  begun_ += std::exchange(direct_, 0);
  LeaveIfDone();
}

// As much as a record holds of what is to be said.
void Connection::Fill() {
  const auto copy = [this](std::span<const std::byte> from, size_t skip) {
    const size_t count = std::min(from.size() - skip, kRecord - plain_end_);
    std::memcpy(plain_.data() + plain_end_, from.data() + skip, count);
    plain_end_ += count;
    begun_ += count;
  };
  while (!queue_.empty() && plain_end_ < kRecord) {
    const Item& item = queue_.front();
    if (begun_ < kHeaderBytes) copy(item.header, begun_);
    if (begun_ >= kHeaderBytes && item.length > 0) copy(BodyOf(item), begun_ - kHeaderBytes);
    LeaveIfDone();
  }
}

void Connection::LeaveIfDone() {
  const Item& item = queue_.front();
  if (begun_ < kHeaderBytes + item.length) return;
  if (item.space != nullptr) item.space->Unhold(item.frame);
  begun_ = 0;
  Dequeue(0);
}

void Connection::Flush(uint64_t now) {
  if (stage_ != Stage::kOpen) return;
  // Since when the peer takes nothing.
  if (!std::exchange(blocked_, false)) taken_at = now;
  for (int records = 0; records < kRecordsInARow; records++) {
    const std::span<const std::byte> record = Record();
    if (record.empty()) return;
    ERR_clear_error();
    errno = 0;
    const int count = SSL_write(ssl_.get(), record.data(), static_cast<int>(record.size()));
    if (count <= 0) {
      Failed(count, "writing");
      return;
    }
    bytes_out += record.size();
    waiting -= record.size();
    Wrote();
    said_at = taken_at = now;
    if (++records_ % kRecordsPerKey == 0) SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
  }
}

void Connection::Forget(const Space& space) {
  for (size_t i = queue_.size(); i-- > 0;) {
    Item& item = queue_[i];
    if (item.space != &space) continue;
    item.space->Unhold(item.frame);
    if (i == 0 && begun_ > 0) {
      // The peer counts on as many bytes. Which ones does not matter any more.
      item.space = nullptr;
      kept_ += item.length - item.body.size();
      if (excused_ > 0) excused_kept_ += item.length - item.body.size();
      item.body.resize(item.length);
    } else {
      waiting -= kHeaderBytes + item.length;
      Dequeue(i);
    }
  }
}

}  // namespace ivshmem::hosts
