#include <napi.h>
#include <uv.h>

#include <utility>

#include "addon_data.h"
#include "arguments.h"
#include "exports.h"
#include "loop_callback.h"
#include "unique_fd.h"
#include "uv_handle.h"
#include "wrapped.h"

namespace ivshmem {

namespace {

/** uv_poll on a duplicate of the caller's descriptor. */
class FdWatch final : public Closable {
 public:
  static constexpr const char* kName = "FdWatch";
  static constexpr napi_type_tag kTag{0x69767368'6d656d02, 0x1b64c9e2'70d3f8a5};

  explicit FdWatch(const Napi::CallbackInfo& info)
      : data_(AddonData::From(info.Env())),
        fd_(Duplicate(info.Env(), Arguments(info).Fd(0))),
        on_event_(info.This().As<Napi::Object>(), Arguments(info).Function(1, "onEvent"), "ivshmem.FdWatch") {
    poll_.Open(info.Env(), data_, this, "uv_poll_init",
               [this](uv_loop_t* loop, uv_poll_t* handle) { return uv_poll_init(loop, handle, fd_.get()); });
    data_.Add(this);
  }
  ~FdWatch() override { Close(); }

  void Close() override {
    if (!poll_) return;
    data_.Remove(this);
    poll_.Close();  // Before the descriptor: libuv takes it out of its epoll set here.
    fd_.Reset();
    on_event_.Reset();
  }

  Napi::Value Start(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const int events =
        (arguments.Bool(0, "readable") ? UV_READABLE : 0) | (arguments.Bool(1, "writable") ? UV_WRITABLE : 0);
    if (!poll_) ThrowErrno(info.Env(), "uv_poll_start", EBADF);
    events_ = events;
    const int status = events == 0 ? uv_poll_stop(poll_.get()) : uv_poll_start(poll_.get(), events, OnPoll);
    if (status != 0) ThrowErrno(info.Env(), "uv_poll_start", -status);
    return info.Env().Undefined();
  }
  Napi::Value Stop(const Napi::CallbackInfo& info) {
    if (poll_) uv_poll_stop(poll_.get());
    return info.Env().Undefined();
  }
  Napi::Value Ref(const Napi::CallbackInfo& info) {
    if (poll_) uv_ref(poll_.base());
    return info.Env().Undefined();
  }
  Napi::Value Unref(const Napi::CallbackInfo& info) {
    if (poll_) uv_unref(poll_.base());
    return info.Env().Undefined();
  }
  Napi::Value CloseMethod(const Napi::CallbackInfo& info) {
    Close();
    return info.Env().Undefined();
  }

 private:
  static void OnPoll(uv_poll_t* handle, int status, int events) {
    auto* self = static_cast<FdWatch*>(handle->data);
    // libuv stops the handle on POLLERR and tells no event. The caller's next read or write says what is
    // wrong.
    if (status < 0) events = self->events_;
    self->on_event_.CallWithFlags(
        {static_cast<double>(events & UV_READABLE), static_cast<double>(events & UV_WRITABLE)});
  }

  AddonData& data_;
  UniqueFd fd_;
  LoopCallback on_event_;
  UvHandle<uv_poll_t> poll_;
  int events_ = 0;
};

}  // namespace

void DefineFdWatch(Napi::Env env, Napi::Object exports) {
  using W = Wrapped<FdWatch>;
  exports.Set("FdWatch",
              W::Define(env, {W::Method<&FdWatch::Start>("start"), W::Method<&FdWatch::Stop>("stop"),
                              W::Method<&FdWatch::Ref>("ref"), W::Method<&FdWatch::Unref>("unref"),
                              W::Method<&FdWatch::CloseMethod>("close")}));
}

}  // namespace ivshmem
