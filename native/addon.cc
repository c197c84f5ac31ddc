#include <napi.h>

#include "addon_data.h"
#include "exports.h"
#include "mapping.h"

namespace ivshmem {

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto* data = new AddonData(env);
  env.SetInstanceData(data);
  Mapping::Define(env, *data);
  DefineMemory(env, exports);
  DefineHugePages(env, exports);
  DefineCopy(env, exports);
  DefineEventfd(env, exports);
  DefineProcess(env, exports);
  DefineUnixSocket(env, exports);
  DefineMessages(env, exports);
  DefineNotify(env, exports);
  DefineFdWatch(env, exports);
  DefineInterruptThread(env, exports);
  DefineLoopWaiter(env, exports);
  DefineVfio(env, exports);
  DefineTun(env, exports);
  DefinePacketPump(env, exports);
  DefineSpreadMemory(env, exports);
  DefineThreadShare(env, exports);
  DefineThreadSeat(env, exports);
  DefineAbi(env, exports);
  return exports;
}

NODE_API_MODULE(addon, Init)

}  // namespace ivshmem
