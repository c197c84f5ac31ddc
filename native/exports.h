#ifndef IVSHMEM_EXPORTS_H_
#define IVSHMEM_EXPORTS_H_

#include <napi.h>

#include "error.h"
#include "wrapped.h"

namespace ivshmem {

// One per source file: adds its functions or its class to the exports.
void DefineMemory(Napi::Env env, Napi::Object exports);           // memory_functions.cc
void DefineHugePages(Napi::Env env, Napi::Object exports);        // huge_pages.cc
void DefineCopy(Napi::Env env, Napi::Object exports);             // copy.cc
void DefineEventfd(Napi::Env env, Napi::Object exports);          // eventfd.cc
void DefineProcess(Napi::Env env, Napi::Object exports);          // process.cc
void DefineUnixSocket(Napi::Env env, Napi::Object exports);       // unix_socket.cc
void DefineMessages(Napi::Env env, Napi::Object exports);         // message.cc
void DefineNotify(Napi::Env env, Napi::Object exports);           // notify.cc
void DefineFdWatch(Napi::Env env, Napi::Object exports);          // fd_watch.cc
void DefineInterruptThread(Napi::Env env, Napi::Object exports);  // interrupt_thread.cc
void DefineLoopWaiter(Napi::Env env, Napi::Object exports);       // loop_waiter.cc
void DefineVfio(Napi::Env env, Napi::Object exports);             // vfio.cc
void DefineTun(Napi::Env env, Napi::Object exports);              // tun/open_tun.cc
void DefinePacketPump(Napi::Env env, Napi::Object exports);       // tun/packet_pump.cc
void DefineSpreadMemory(Napi::Env env, Napi::Object exports);     // dsm/member_memory.cc
void DefineThreadShare(Napi::Env env, Napi::Object exports);      // thread_share.cc
void DefineThreadSeat(Napi::Env env, Napi::Object exports);       // thread_seat.cc
void DefineAbi(Napi::Env env, Napi::Object exports);              // abi.cc

/** Exports one function; what it throws becomes a JavaScript exception. */
template <Napi::Value (*function)(const Napi::CallbackInfo&)>
void Export(Napi::Object exports, const char* name) {
  napi_value value = nullptr;
  constexpr napi_callback callback = [](napi_env env, napi_callback_info raw) -> napi_value {
    return Guarded(env, [&]() -> napi_value {
      Napi::CallbackInfo info(env, raw);
      return function(info);
    });
  };
  const Napi::Env env = exports.Env();
  CheckStatus(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &value));
  exports.Set(name, value);
}

}  // namespace ivshmem

#endif  // IVSHMEM_EXPORTS_H_
