// The engine as a class for JavaScript: src/native/hosts-binding.ts says what its methods do.
#include <napi.h>
#include <sys/mman.h>

#include <climits>
#include <memory>
#include <string>
#include <utility>

#include "../arguments.h"
#include "../eventfd.h"
#include "../unique_fd.h"
#include "../wrapped.h"
#include "engine.h"
#include "event_queue.h"
#include "exports.h"

namespace ivshmem::hosts {

namespace {

constexpr size_t kClusterBytes = 128;
constexpr size_t kNameBytes = 253;  // RFC 1035 §2.3.4
constexpr size_t kPemBytes = 1 << 20;
constexpr double kPatienceLimitMs = 86'400'000;

Napi::Object ObjectAt(Napi::Env env, Napi::Value value, const char* name) {
  if (!value.IsObject()) ThrowType(env, std::string(name) + " must be an object");
  return value.As<Napi::Object>();
}

std::string TextAt(Napi::Env env, Napi::Object from, const char* name, size_t limit) {
  const Napi::Value value = from.Get(name);
  if (!value.IsString()) ThrowType(env, std::string(name) + " must be a string");
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.empty() || text.size() > limit) ThrowRange(env, std::string(name) + " is too long, or empty");
  return text;
}

SslContext ContextFrom(Napi::Env env, Napi::Value value) {
  const Napi::Object from = ObjectAt(env, value, "identity");
  const Identity identity{TextAt(env, from, "certificate", kPemBytes), TextAt(env, from, "key", kPemBytes),
                          TextAt(env, from, "authority", kPemBytes)};
  std::string why;
  SslContext context = MakeContext(identity, why);
  if (!context) ThrowType(env, "identity does not fit: " + why);
  return context;
}

void Fail(Napi::Env env, const char* syscall, int error) {
  if (error != 0) ThrowErrno(env, syscall, error);
}

// A mapping of the region that nobody else can take away.
class RegionMemory {
 public:
  RegionMemory(Napi::Env env, int fd, uint64_t bytes) : bytes_(bytes) {
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) ThrowErrno(env, "mmap");
    at_ = static_cast<std::byte*>(at);
  }
  RegionMemory(const RegionMemory&) = delete;
  RegionMemory& operator=(const RegionMemory&) = delete;
  ~RegionMemory() { munmap(at_, bytes_); }

  std::byte* at() const { return at_; }
  uint64_t bytes() const { return bytes_; }

 private:
  std::byte* at_ = nullptr;
  uint64_t bytes_;
};

class NodeEngine {
 public:
  static constexpr const char* kName = "NodeEngine";
  static constexpr napi_type_tag kTag{0x69767368'6d656d0c, 0x51c7e2b3'90a84d16};

  explicit NodeEngine(const Napi::CallbackInfo& info) : env_(info.Env()) {
    const Napi::Env env = info.Env();
    const Napi::Object from = ObjectAt(env, info[0], "options");
    const Napi::Object memory = ObjectAt(env, from.Get("memory"), "memory");
    const auto integer = [&](const Napi::Object& object, const char* name, double low, double high) {
      return IntegerFrom(env, object.Get(name), name, low, high);
    };
    slots_ = static_cast<uint32_t>(integer(from, "slots", 2, dsm::shared::kMaxSlots));
    self_ = static_cast<dsm::NodeId>(integer(from, "node", 0, dsm::kMaxNodes - 1));
    const std::string cluster = TextAt(env, from, "cluster", kClusterBytes);
    const auto patience = static_cast<uint64_t>(integer(from, "patienceMs", 10, kPatienceLimitMs));
    UniqueFd bell = DuplicateEventfd(env, static_cast<int>(integer(from, "bell", 0, INT_MAX)));
    SslContext context = ContextFrom(env, from.Get("identity"));
    const Napi::Value on_event = from.Get("onEvent");
    if (!on_event.IsFunction()) ThrowType(env, "onEvent must be a function");
    memory_ = std::make_unique<RegionMemory>(
        env, static_cast<int>(integer(memory, "fd", 0, INT_MAX)),
        static_cast<uint64_t>(integer(memory, "bytes", 4096, kMaxSafeInteger)));
    events_ = new EventQueue(env, on_event.As<Napi::Function>(), [this] {
      if (engine_) engine_->Hear();
    });
    engine_ = std::make_unique<Engine>(EngineOptions{
        memory_->at(), memory_->bytes(), bell.Release(), slots_, Hello{self_, cluster}, patience * 1'000'000,
        [events = events_](Event event) { events->Push(std::move(event)); },
        [events = events_] { return events->Full(); }});
    const int error = engine_->Start(std::move(context));
    if (error != 0) {
      Close();
      ThrowErrno(env, "pthread_create", error);
    }
    // After the function was made, hence called before the environment takes that away.
    napi_add_env_cleanup_hook(env, OnExit, this);
    hooked_ = true;
    own_ = Napi::Persistent(info.This().As<Napi::Object>());
  }
  ~NodeEngine() { Close(); }

  Napi::Value Listen(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const std::string address = arguments.Name(0, "address", 64);
    auto port = static_cast<uint16_t>(arguments.Integer(1, "port", 0, UINT16_MAX));
    Fail(info.Env(), "listen", engine(info).Listen(address, port));
    return Napi::Number::New(info.Env(), port);
  }

  Napi::Value Expect(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const std::string name = info[1].IsNull() ? "" : arguments.Name(1, "name", kNameBytes);
    engine(info).Expect(Node(arguments), name);
    return info.Env().Undefined();
  }

  Napi::Value Identify(const Napi::CallbackInfo& info) {
    engine(info).Identify(ContextFrom(info.Env(), info[0]));
    return info.Env().Undefined();
  }

  Napi::Value Connect(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const std::string address = arguments.Name(1, "address", 64);
    const auto port = static_cast<uint16_t>(arguments.Integer(2, "port", 1, UINT16_MAX));
    Fail(info.Env(), "connect", engine(info).Connect(Node(arguments), address, port));
    return info.Env().Undefined();
  }

  Napi::Value Disconnect(const Napi::CallbackInfo& info) {
    engine(info).Disconnect(Node(Arguments(info)));
    return info.Env().Undefined();
  }

  Napi::Value Tell(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const std::string text = arguments.Name(1, "text", kMostTell);
    return Napi::Boolean::New(info.Env(), engine(info).Say(Node(arguments), text));
  }

  Napi::Value Member(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const auto slot = static_cast<uint32_t>(arguments.Integer(0, "slot", 0, slots_ - 1));
    const int fd = arguments.OptionalFd(1, "eventfd");
    UniqueFd bell = fd < 0 ? UniqueFd() : DuplicateEventfd(info.Env(), fd);
    engine(info).Member(slot, bell.Release());
    return info.Env().Undefined();
  }

  Napi::Value AddSpace(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const Napi::Object from = ObjectAt(env, info[0], "space");
    SpaceOptions space;
    space.place = PlacementFrom(env, from);
    space.place.self = self_;
    space.place.slots = slots_;
    space.id = static_cast<uint32_t>(IntegerFrom(env, from.Get("id"), "id", 0, UINT32_MAX));
    space.at = static_cast<uint64_t>(IntegerFrom(env, from.Get("at"), "at", 0, kMaxSafeInteger));
    space.bytes = static_cast<uint64_t>(IntegerFrom(env, from.Get("bytes"), "bytes", 0, kMaxSafeInteger));
    if (!from.Get("forms").IsBoolean()) ThrowType(env, "forms must be a boolean");
    space.forms = from.Get("forms").As<Napi::Boolean>().Value();
    space.view = {Uint64From(env, from.Get("epoch"), "epoch"), Uint64From(env, from.Get("alive"), "alive")};
    if ((space.view.alive & dsm::Bit(self_)) == 0) ThrowRange(env, "alive must have this node");
    if (space.view.epoch < (space.forms ? 1 : 2)) ThrowRange(env, "epoch is out of range");
    if (space.forms && self_ >= space.place.homes) ThrowRange(env, "forms: this node is none of the homes");
    if (space.at % 4096 != 0 || space.bytes % 4096 != 0)
      ThrowRange(env, "at and bytes must be multiples of 4096");
    if (space.at > memory_->bytes() || space.bytes > memory_->bytes() - space.at) {
      ThrowRange(env, "the allocation does not lie in the region");
    }
    if (space.bytes < space.place.bytes(kLeastCache)) ThrowRange(env, "bytes is too small for this space");
    if (space.place.frames(space.bytes) > UINT32_MAX - 1) ThrowRange(env, "bytes is too large");
    if (!engine(info).AddSpace(space)) ThrowRange(env, "this space is there already");
    return env.Undefined();
  }

  Napi::Value RemoveSpace(const Napi::CallbackInfo& info) {
    engine(info).RemoveSpace(Arguments(info).Uint32(0, "id"));
    return info.Env().Undefined();
  }

  Napi::Value Install(const Napi::CallbackInfo& info) {
    const dsm::View view{Uint64From(info.Env(), info[1], "epoch"), Uint64From(info.Env(), info[2], "alive")};
    Found(info, engine(info).Install(Arguments(info).Uint32(0, "id"), view));
    return info.Env().Undefined();
  }

  Napi::Value Fence(const Napi::CallbackInfo& info) {
    Found(info, engine(info).Fence(Arguments(info).Uint32(0, "id"), info[1].ToBoolean()));
    return info.Env().Undefined();
  }

  Napi::Value Lease(const Napi::CallbackInfo& info) {
    const uint64_t fence = Uint64From(info.Env(), info[0], "fence");
    const uint64_t members = Uint64From(info.Env(), info[1], "members");
    if (members > fence) ThrowRange(info.Env(), "members must end before fence");
    engine(info).Lease(fence, members);
    return info.Env().Undefined();
  }

  Napi::Value Status(const Napi::CallbackInfo& info);
  Napi::Value Peer(const Napi::CallbackInfo& info);

  Napi::Value CloseMethod(const Napi::CallbackInfo& info) {
    Close();
    return info.Env().Undefined();
  }

 private:
  static void OnExit(void* data) { static_cast<NodeEngine*>(data)->Close(); }

  void Close() {
    if (std::exchange(hooked_, false)) napi_remove_env_cleanup_hook(env_, OnExit, this);
    engine_.reset();  // joins the thread
    if (events_ != nullptr) std::exchange(events_, nullptr)->Close();
    memory_.reset();
    own_.Reset();
  }

  Engine& engine(const Napi::CallbackInfo& info) const {
    if (!engine_) ThrowType(info.Env(), "the engine is closed");
    return *engine_;
  }

  static dsm::NodeId Node(const Arguments& arguments) {
    return static_cast<dsm::NodeId>(arguments.Integer(0, "node", 0, dsm::kMaxNodes - 1));
  }

  static void Found(const Napi::CallbackInfo& info, bool found) {
    if (!found) ThrowRange(info.Env(), "there is no such space");
  }

  napi_env env_;
  uint32_t slots_ = 0;
  dsm::NodeId self_ = 0;
  std::unique_ptr<RegionMemory> memory_;
  EventQueue* events_ = nullptr;
  std::unique_ptr<Engine> engine_;
  bool hooked_ = false;
  Napi::ObjectReference own_;  // an engine in use is never collected
};

Napi::Value NodeEngine::Status(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  SpaceReport report;
  Found(info, engine(info).Report(Arguments(info).Uint32(0, "id"), report));
  Napi::Object object = Napi::Object::New(env);
  const auto number = [&](const char* name, uint64_t value) {
    object.Set(name, Napi::Number::New(env, static_cast<double>(value)));
  };
  object.Set("consistency", report.consistency == dsm::Consistency::kRelease ? "release" : "sequential");
  number("replicas", report.replicas);
  number("copies", report.copies.fewest);
  number("missing", report.copies.missing);
  number("kept", report.copies.kept);
  object.Set("epoch", Napi::BigInt::New(env, report.epoch));
  object.Set("fenced", Napi::Boolean::New(env, report.fenced));
  object.Set("quiet", Napi::Boolean::New(env, report.quiet));
  number("owned", report.owned);
  number("shared", report.shared);
  number("dirty", report.dirty);
  number("flushes", report.counters.flushes);
  number("refreshes", report.counters.refreshes);
  number("mergesIn", report.counters.merges_in);
  number("mergesOut", report.counters.merges_out);
  number("cacheFrames", report.cache_frames);
  number("cacheFramesFree", report.cache_free);
  number("faultsLocal", report.counters.faults_local);
  number("faultsRemote", report.counters.faults_remote);
  number("failed", report.counters.failed);
  number("evictions", report.counters.evictions);
  number("pagesIn", report.counters.pages_in);
  number("pagesOut", report.counters.pages_out);
  Napi::Array members = Napi::Array::New(env, report.members.size());
  for (uint32_t i = 0; i < report.members.size(); i++)
    members.Set(i, Napi::Number::New(env, report.members[i]));
  object.Set("members", members);
  Napi::Uint32Array heat = Napi::Uint32Array::New(env, report.heat.size());
  for (size_t i = 0; i < report.heat.size(); i++) heat[i] = report.heat[i];
  object.Set("heat", heat);
  return object;
}

Napi::Value NodeEngine::Peer(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  PeerReport report;
  if (!engine(info).Report(Node(Arguments(info)), report)) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object.Set("up", Napi::Boolean::New(env, report.up));
  object.Set("bytesIn", Napi::Number::New(env, static_cast<double>(report.bytes_in)));
  object.Set("bytesOut", Napi::Number::New(env, static_cast<double>(report.bytes_out)));
  object.Set("waiting", Napi::Number::New(env, static_cast<double>(report.waiting)));
  return object;
}

}  // namespace

void DefineNodeEngine(Napi::Env env, Napi::Object exports) {
  using W = Wrapped<NodeEngine>;
  using T = NodeEngine;
  exports.Set("NodeEngine",
              W::Define(env, {W::Method<&T::Listen>("listen"), W::Method<&T::Expect>("expect"),
                              W::Method<&T::Identify>("identify"), W::Method<&T::Connect>("connect"),
                              W::Method<&T::Disconnect>("disconnect"), W::Method<&T::Tell>("tell"),
                              W::Method<&T::Member>("member"), W::Method<&T::AddSpace>("addSpace"),
                              W::Method<&T::RemoveSpace>("removeSpace"), W::Method<&T::Install>("install"),
                              W::Method<&T::Fence>("fence"), W::Method<&T::Lease>("lease"),
                              W::Method<&T::Status>("status"), W::Method<&T::Peer>("peer"),
                              W::Method<&T::CloseMethod>("close")}));
}

}  // namespace ivshmem::hosts
