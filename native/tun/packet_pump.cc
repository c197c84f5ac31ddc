#include <arpa/inet.h>
#include <napi.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "addon_data.h"
#include "arguments.h"
#include "eventfd.h"
#include "exports.h"
#include "pinned.h"
#include "pump.h"
#include "unique_fd.h"
#include "wrapped.h"

namespace ivshmem {

namespace {

constexpr double kSpinLimitNs = 1e9;
constexpr size_t kAddressLimit = 64;

std::vector<tun::Address> AddressesFrom(Napi::Env env, Napi::Value value) {
  if (!value.IsArray()) ThrowType(env, "addresses must be an array");
  const Napi::Array array = value.As<Napi::Array>();
  if (array.Length() > kAddressLimit) ThrowRange(env, "addresses has too many elements");
  std::vector<tun::Address> addresses;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value element = array.Get(i);
    if (!element.IsString()) ThrowType(env, "an address must be a string");
    const std::string text = element.As<Napi::String>().Utf8Value();
    std::byte bytes[16];
    uint8_t version = 4;
    if (inet_pton(AF_INET, text.c_str(), bytes) != 1) {
      version = 6;
      if (inet_pton(AF_INET6, text.c_str(), bytes) != 1) ThrowType(env, "not an IP address: " + text);
    }
    addresses.push_back(tun::Address::From(version, bytes));
  }
  return addresses;
}

class PacketPump final : public Closable {
 public:
  static constexpr const char *kName = "PacketPump";
  static constexpr napi_type_tag kTag{0x69767368'6d656d07, 0x2a91d07c'b6e348f5};

  explicit PacketPump(const Napi::CallbackInfo &info) : data_(AddonData::From(info.Env())) {
    const Napi::Env env = info.Env();
    const Napi::Object from = ObjectFrom(info);
    const auto fd = [&](const char *name, int low) {
      return static_cast<int>(IntegerFrom(env, from.Get(name), name, low, INT_MAX));
    };
    const int bell = fd("eventfd", -1);
    tun_in_ = Duplicate(env, fd("tunIn", 0));
    tun_out_ = Duplicate(env, fd("tunOut", 0));
    notice_ = DuplicateEventfd(env, fd("notice", 0));
    if (bell >= 0) bell_ = DuplicateEventfd(env, bell);
    wake_ = CreateEventfd(env);
    const double spin = IntegerFrom(env, from.Get("spinNs"), "spinNs", 0, kSpinLimitNs);
    pump_ = std::make_unique<tun::Pump>(tun::Pump::Options{
        tun_in_.get(), tun_out_.get(), bell_.get(), wake_.get(), notice_.get(), static_cast<uint64_t>(spin)});
    pump_->SetOwn(AddressesFrom(env, from.Get("addresses")));
    const int error = pump_->Start();
    if (error != 0) ThrowErrno(env, "pthread_create", error);
    data_.Add(this);
  }
  ~PacketPump() override { Close(); }

  void Close() override {
    if (pump_ == nullptr) return;
    data_.Remove(this);
    pump_.reset();
    held_.clear();
    for (UniqueFd *fd : {&tun_in_, &tun_out_, &bell_, &wake_, &notice_}) fd->Reset();
  }

  Napi::Value Attach(const Napi::CallbackInfo &info) {
    const Napi::Env env = info.Env();
    if (pump_ == nullptr) ThrowType(env, "the pump is closed");
    const Napi::Object from = ObjectFrom(info);
    const auto number = [&](Napi::Object object, const char *name, double most) {
      return static_cast<uint64_t>(IntegerFrom(env, object.Get(name), name, 0, most));
    };
    const auto id = static_cast<uint32_t>(number(from, "id", UINT32_MAX));
    if (held_.contains(id)) ThrowRange(env, "this id is attached");
    Held held;
    held.memory = PinnedFrom(env, from.Get("memory"), "memory");
    const auto direction = [&](const char *name) {
      const Napi::Value value = from.Get(name);
      if (!value.IsObject()) ThrowType(env, std::string(name) + " must be an object");
      const Napi::Object place = value.As<Napi::Object>();
      return tun::Direction{
          {number(place, "ring", kMaxSafeInteger), number(place, "driverEvent", kMaxSafeInteger),
           number(place, "deviceEvent", kMaxSafeInteger),
           static_cast<uint32_t>(number(place, "size", ring::kMaxQueueSize))},
          number(place, "data", kMaxSafeInteger),
          static_cast<uint32_t>(number(place, "dataBytes", UINT32_MAX))};
    };
    const tun::Direction outgoing = direction("outgoing");
    const tun::Direction incoming = direction("incoming");
    held.doorbell = DoorbellFrom(env, from.Get("doorbell"));
    const tun::Doorbell doorbell{held.doorbell.word, held.doorbell.value, held.doorbell.eventfd.get()};
    const Napi::Value routed = from.Get("routed");
    if (!routed.IsBoolean()) ThrowType(env, "routed must be a boolean");
    auto link = std::make_unique<tun::Link>(id, ring::Region{held.memory.base, held.memory.size}, outgoing,
                                            incoming, doorbell, AddressesFrom(env, from.Get("addresses")),
                                            routed.As<Napi::Boolean>().Value());
    if (!link->Sound())
      ThrowRange(env,
                 "the channel does not lie in the memory, or is too small "
                 "for a packet");
    held_.emplace(id, std::move(held));
    pump_->Attach(std::move(link));
    return env.Undefined();
  }

  Napi::Value Detach(const Napi::CallbackInfo &info) {
    const uint32_t id = Arguments(info).Uint32(0, "id");
    if (pump_ != nullptr) pump_->Detach(id);
    held_.erase(id);
    return info.Env().Undefined();
  }

  Napi::Value Broken(const Napi::CallbackInfo &info) {
    Napi::Array result = Napi::Array::New(info.Env());
    if (pump_ == nullptr) return result;
    for (const uint32_t id : pump_->Broken()) result.Set(result.Length(), Napi::Number::New(info.Env(), id));
    return result;
  }

  Napi::Value Failure(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), pump_ == nullptr ? 0 : pump_->Failure());
  }

  Napi::Value Read(const Napi::CallbackInfo &info) {
    const Napi::Env env = info.Env();
    if (pump_ != nullptr) last_ = pump_->Read();
    Napi::Object result = Napi::Object::New(env);
    const auto set = [&](const char *name, uint64_t value) {
      result.Set(name, Napi::Number::New(env, static_cast<double>(value)));
    };
    const auto dropped = [&](tun::Verdict verdict) { return last_.dropped[static_cast<size_t>(verdict)]; };
    set("packetsSent", last_.packets_sent);
    set("bytesSent", last_.bytes_sent);
    set("packetsReceived", last_.packets_received);
    set("bytesReceived", last_.bytes_received);
    set("noRoute", dropped(tun::Verdict::kNoRoute));
    set("congested", dropped(tun::Verdict::kCongested));
    set("malformed", dropped(tun::Verdict::kMalformed));
    set("offload", dropped(tun::Verdict::kOffload));
    set("source", dropped(tun::Verdict::kSource));
    set("destination", dropped(tun::Verdict::kDestination));
    set("refused", dropped(tun::Verdict::kRefused));
    set("held", last_.held);
    set("sleeps", last_.sleeps);
    return result;
  }

  Napi::Value CloseMethod(const Napi::CallbackInfo &info) {
    if (pump_ != nullptr) last_ = pump_->Read();
    Close();
    return info.Env().Undefined();
  }

 private:
  /** What a channel uses, held until the pump has let go of it. */
  struct Held {
    Pinned memory;
    HeldDoorbell doorbell;
  };

  static Napi::Object ObjectFrom(const Napi::CallbackInfo &info) {
    if (!info[0].IsObject()) ThrowType(info.Env(), "options must be an object");
    return info[0].As<Napi::Object>();
  }

  AddonData &data_;
  UniqueFd tun_in_;
  UniqueFd tun_out_;
  UniqueFd bell_;
  UniqueFd wake_;
  UniqueFd notice_;
  std::unordered_map<uint32_t, Held> held_;
  std::unique_ptr<tun::Pump> pump_;
  tun::Counters last_;
};

}  // namespace

void DefinePacketPump(Napi::Env env, Napi::Object exports) {
  using W = Wrapped<PacketPump>;
  using P = PacketPump;
  exports.Set("PacketPump",
              W::Define(env, {W::Method<&P::Attach>("attach"), W::Method<&P::Detach>("detach"),
                              W::Method<&P::Broken>("broken"), W::Method<&P::Failure>("failure"),
                              W::Method<&P::Read>("counters"), W::Method<&P::CloseMethod>("close")}));
}

}  // namespace ivshmem
