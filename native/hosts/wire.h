// What two nodes say to each other inside TLS: frames of a header of 40 bytes, little-endian, and a body. The
// first is a hello. Nothing of a peer is believed: a frame that cannot be is nonsense before it is read to
// its end. Whether it fits what was asked is for Space and dsm::Node to say.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "../dsm/messages.h"

namespace ivshmem::hosts {

inline constexpr size_t kHeaderBytes = 40;
inline constexpr uint32_t kMostHello = 512;
inline constexpr uint32_t kMostTell = 65536;
inline constexpr uint32_t kLeastPage = 1 << 12, kMostPage = 1 << 21;
// Raised with every change that an older node would not understand.
inline constexpr uint16_t kProtocol = 3;

// Up to kKept the types are those of dsm::MessageType.
// The last three are about a party (shared_layout.h), which is in message.page, and of a space like those of
// dsm::MessageType, but of no epoch: message.version is the slot that called, and that kGone is for.
enum FrameType : uint8_t { kHello = 32, kTell = 33, kAlive = 34, kWake = 35, kAsk = 36, kGone = 37 };

struct Frame {
  uint8_t type = kAlive;
  uint32_t length = 0;  // of the body
  uint32_t space = 0;
  dsm::Message message;  // of a page's frame; its `type` is `type`

  bool about_space() const { return type <= static_cast<uint8_t>(dsm::MessageType::kKept); }
  // It has a difference.
  bool merge() const {
    return type == static_cast<uint8_t>(dsm::MessageType::kMerge) ||
           type == static_cast<uint8_t>(dsm::MessageType::kReplicate);
  }
  bool data() const { return type == static_cast<uint8_t>(dsm::MessageType::kData); }
};

using HeaderBytes = std::array<std::byte, kHeaderBytes>;

Frame FrameOf(uint32_t space, const dsm::Message& message, uint32_t length);
HeaderBytes Encode(const Frame& frame);
// Nothing: no frame looks like this.
std::optional<Frame> Decode(const HeaderBytes& bytes);

struct Hello {
  uint8_t node = 0;
  std::string cluster;
};

std::vector<std::byte> EncodeHello(const Hello& hello);
// Nothing: of another protocol, or not a hello.
std::optional<Hello> DecodeHello(std::span<const std::byte> body);

// Puts the bytes of a stream together to frames. Short ones are where they were read to; only of one that
// goes on beyond what was read at a time the bytes are put together elsewhere.
class FrameReader {
 public:
  enum class Got : uint8_t { kMore, kFrame, kNonsense };

  FrameReader() : staged_(kStaged) {}

  // The next frame of what is there. kMore: Room() has to be filled before there is one.
  Got Next();
  // Where the next bytes of the stream go; never empty. Only after kMore.
  std::span<std::byte> Room();
  // `count` bytes are there, at most as many as Room() had room for.
  void Took(size_t count);

  // Until the next call of Next().
  const Frame& frame() const { return frame_; }
  std::span<const std::byte> body() const { return whole_; }

 private:
  // What a record of TLS brings, after what was left of the one before: less than a header.
  static constexpr size_t kStaged = (1 << 14) + kHeaderBytes;

  std::vector<std::byte> staged_;
  size_t from_ = 0, to_ = 0;     // of staged_, what is not read yet
  std::vector<std::byte> body_;  // keeps its size: it grows to the largest page once
  size_t filled_ = 0;            // of body_
  bool in_body_ = false;
  Frame frame_;
  std::span<const std::byte> whole_;
};

}  // namespace ivshmem::hosts
