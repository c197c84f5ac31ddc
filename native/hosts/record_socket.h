// The socket below TLS: many records are read by one system call, and each is copied once from there.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <vector>

namespace ivshmem::hosts {

class RecordSocket {
 public:
  // Of its owner, who closes it.
  explicit RecordSocket(int fd) : fd_(fd), ahead_(kAhead) {}
  RecordSocket(const RecordSocket&) = delete;
  RecordSocket& operator=(const RecordSocket&) = delete;

  // As read(2) and write(2).
  ssize_t Read(std::byte* to, size_t room);
  ssize_t Write(const std::byte* from, size_t count);

  // The other side has said all.
  bool ended() const { return ended_; }
  // Something was read that nobody has asked for yet: the socket will not tell of that.
  bool ahead() const { return from_ < to_; }

 private:
  // The fewer calls, the fewer acknowledgements the receiver sends.
  static constexpr size_t kAhead = 128 << 10;

  int fd_;
  bool ended_ = false;
  size_t from_ = 0, to_ = 0;  // of ahead_, what is there
  std::vector<std::byte> ahead_;
};

}  // namespace ivshmem::hosts
