#include "wire.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "diff.h"

namespace ivshmem::hosts {

namespace {

static_assert(std::endian::native == std::endian::little, "the wire is in host order");

// "IVSHNODE", as bytes.
constexpr std::array<char, 8> kMagic{'I', 'V', 'S', 'H', 'N', 'O', 'D', 'E'};
constexpr size_t kHelloBytes = 12;  // magic, protocol, node, length of the cluster's name

template <class T>
void Put(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

template <class T>
T Take(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// The length that a body of this type may have.
bool LengthFits(const Frame& frame) {
  switch (frame.type) {
    case kHello:
      return frame.length <= kMostHello;
    case kTell:
      return frame.length <= kMostTell;
    default:
      if (frame.merge()) return frame.length > kDiffHeader && frame.length <= MostDiff(kMostPage);
      if (!frame.data()) return frame.length == 0;
      return frame.length >= kLeastPage && frame.length <= kMostPage && std::has_single_bit(frame.length);
  }
}

}  // namespace

Frame FrameOf(uint32_t space, const dsm::Message& message, uint32_t length) {
  Frame frame;
  frame.type = static_cast<uint8_t>(message.type);
  frame.length = length;
  frame.space = space;
  frame.message = message;
  return frame;
}

HeaderBytes Encode(const Frame& frame) {
  HeaderBytes bytes{};
  Put(&bytes[0], frame.length);
  Put(&bytes[4], frame.type);
  Put(&bytes[5], static_cast<uint8_t>(frame.message.right));
  Put(&bytes[6], static_cast<uint8_t>(frame.message.failure));
  Put(&bytes[7], frame.message.requester);
  Put(&bytes[8], frame.space);
  // Bytes 12 to 15 are 0.
  Put(&bytes[16], frame.message.epoch);
  Put(&bytes[24], frame.message.version);
  Put(&bytes[32], frame.message.page);
  return bytes;
}

std::optional<Frame> Decode(const HeaderBytes& bytes) {
  Frame frame;
  frame.length = Take<uint32_t>(&bytes[0]);
  frame.type = Take<uint8_t>(&bytes[4]);
  const auto right = Take<uint8_t>(&bytes[5]);
  const auto failure = Take<uint8_t>(&bytes[6]);
  frame.message.requester = Take<uint8_t>(&bytes[7]);
  frame.space = Take<uint32_t>(&bytes[8]);
  frame.message.epoch = Take<uint64_t>(&bytes[16]);
  frame.message.version = Take<uint64_t>(&bytes[24]);
  frame.message.page = Take<uint64_t>(&bytes[32]);
  const bool known = frame.about_space() || (frame.type >= kHello && frame.type <= kGone);
  if (!known || Take<uint32_t>(&bytes[12]) != 0 || !LengthFits(frame)) return std::nullopt;
  // An enum of another value than its enumerators must not come into being.
  if (right > static_cast<uint8_t>(dsm::Right::kWrite)) return std::nullopt;
  if (failure > static_cast<uint8_t>(dsm::Failure::kPageRange)) return std::nullopt;
  if (frame.message.requester >= dsm::kMaxNodes) return std::nullopt;
  if (frame.about_space()) frame.message.type = static_cast<dsm::MessageType>(frame.type);
  frame.message.right = static_cast<dsm::Right>(right);
  frame.message.failure = static_cast<dsm::Failure>(failure);
  return frame;
}

std::vector<std::byte> EncodeHello(const Hello& hello) {
  std::vector<std::byte> body(kHelloBytes + hello.cluster.size());
  std::memcpy(body.data(), kMagic.data(), kMagic.size());
  Put(&body[8], kProtocol);
  Put(&body[10], hello.node);
  Put(&body[11], static_cast<uint8_t>(hello.cluster.size()));
  if (!hello.cluster.empty()) std::memcpy(&body[kHelloBytes], hello.cluster.data(), hello.cluster.size());
  return body;
}

std::optional<Hello> DecodeHello(std::span<const std::byte> body) {
  if (body.size() < kHelloBytes || std::memcmp(body.data(), kMagic.data(), kMagic.size()) != 0) return {};
  if (Take<uint16_t>(&body[8]) != kProtocol) return {};
  Hello hello;
  hello.node = Take<uint8_t>(&body[10]);
  const size_t length = Take<uint8_t>(&body[11]);
  if (hello.node >= dsm::kMaxNodes || body.size() != kHelloBytes + length) return {};
  if (length > 0) hello.cluster.assign(reinterpret_cast<const char*>(&body[kHelloBytes - 1] + 1), length);
  return hello;
}

FrameReader::Got FrameReader::Next() {
  if (in_body_) {
    if (filled_ < frame_.length) return Got::kMore;
    in_body_ = false;
    whole_ = std::span(body_).first(frame_.length);
    return Got::kFrame;
  }
  if (to_ - from_ < kHeaderBytes) return Got::kMore;
  HeaderBytes header;
  std::memcpy(header.data(), &staged_[from_], kHeaderBytes);
  const std::optional<Frame> frame = Decode(header);
  if (!frame) return Got::kNonsense;
  frame_ = *frame;
  from_ += kHeaderBytes;
  const std::span<const std::byte> there = std::span(staged_).subspan(from_, to_ - from_);
  if (there.size() >= frame_.length) {
    whole_ = there.first(frame_.length);
    from_ += frame_.length;
    return Got::kFrame;
  }
  if (body_.size() < frame_.length) body_.resize(frame_.length);
  std::copy(there.begin(), there.end(), body_.begin());
  filled_ = there.size();
  from_ = to_ = 0;
  in_body_ = true;
  return Got::kMore;
}

std::span<std::byte> FrameReader::Room() {
  if (in_body_) return std::span(body_).first(frame_.length).subspan(filled_);
  // The beginning of a header.
  std::memmove(staged_.data(), staged_.data() + from_, to_ - from_);
  to_ -= std::exchange(from_, 0);
  return std::span(staged_).subspan(to_);
}

void FrameReader::Took(size_t count) { (in_body_ ? filled_ : to_) += count; }

}  // namespace ivshmem::hosts
