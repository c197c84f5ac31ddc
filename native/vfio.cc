// One function per ioctl of linux/vfio.h.
#include <linux/vfio.h>
#include <napi.h>
#include <sys/ioctl.h>

#include <cstring>
#include <string>
#include <vector>

#include "arguments.h"
#include "error.h"
#include "exports.h"
#include "mapping.h"

namespace ivshmem {

namespace {

constexpr size_t kVectorLimit = 2048;
constexpr size_t kDeviceNameLimit = 255;

/** ioctl, restarted on EINTR; throws with the request's name as the system call. */
template <class Argument>
int Ioctl(Napi::Env env, const char* name, int fd, unsigned long request, Argument argument) {
  int result = -1;
  do {
    result = ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  return Checked(env, name, result);
}

Napi::Value ApiVersion(const Napi::CallbackInfo& info) {
  return Napi::Number::New(
      info.Env(), Ioctl(info.Env(), "VFIO_GET_API_VERSION", Arguments(info).Fd(0), VFIO_GET_API_VERSION, 0));
}

Napi::Value CheckExtension(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int fd = arguments.Fd(0, "container");
  const auto extension = static_cast<unsigned long>(arguments.Uint32(1, "extension"));
  return Napi::Number::New(info.Env(),
                           Ioctl(info.Env(), "VFIO_CHECK_EXTENSION", fd, VFIO_CHECK_EXTENSION, extension));
}

Napi::Value SetIommu(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int fd = arguments.Fd(0, "container");
  const auto type = static_cast<unsigned long>(arguments.Uint32(1, "type"));
  Ioctl(info.Env(), "VFIO_SET_IOMMU", fd, VFIO_SET_IOMMU, type);
  return info.Env().Undefined();
}

Napi::Value GroupStatus(const Napi::CallbackInfo& info) {
  vfio_group_status status{};
  status.argsz = sizeof status;
  Ioctl(info.Env(), "VFIO_GROUP_GET_STATUS", Arguments(info).Fd(0, "group"), VFIO_GROUP_GET_STATUS, &status);
  return Napi::Number::New(info.Env(), status.flags);
}

Napi::Value GroupSetContainer(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int group = arguments.Fd(0, "group");
  int container = arguments.Fd(1, "container");
  Ioctl(info.Env(), "VFIO_GROUP_SET_CONTAINER", group, VFIO_GROUP_SET_CONTAINER, &container);
  return info.Env().Undefined();
}

Napi::Value GroupUnsetContainer(const Napi::CallbackInfo& info) {
  Ioctl(info.Env(), "VFIO_GROUP_UNSET_CONTAINER", Arguments(info).Fd(0, "group"), VFIO_GROUP_UNSET_CONTAINER,
        0);
  return info.Env().Undefined();
}

Napi::Value GroupGetDevice(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int group = arguments.Fd(0, "group");
  const std::string name = arguments.Name(1, "name", kDeviceNameLimit);
  return Napi::Number::New(info.Env(), Ioctl(info.Env(), "VFIO_GROUP_GET_DEVICE_FD", group,
                                             VFIO_GROUP_GET_DEVICE_FD, name.c_str()));
}

Napi::Value DeviceInfo(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  vfio_device_info device{};
  device.argsz = sizeof device;
  Ioctl(env, "VFIO_DEVICE_GET_INFO", Arguments(info).Fd(0, "device"), VFIO_DEVICE_GET_INFO, &device);
  Napi::Object result = Napi::Object::New(env);
  result.Set("flags", Napi::Number::New(env, device.flags));
  result.Set("regions", Napi::Number::New(env, device.num_regions));
  result.Set("irqs", Napi::Number::New(env, device.num_irqs));
  return result;
}

/** What the kernel says of region or interrupt `index` of a device: arguments 0 and 1. */
template <typename Info>
Info InfoAt(const Napi::CallbackInfo& info, const char* name, unsigned long request) {
  const Arguments arguments(info);
  const int device = arguments.Fd(0, "device");
  Info answer{};
  answer.argsz = sizeof answer;
  answer.index = arguments.Uint32(1, "index");
  Ioctl(info.Env(), name, device, request, &answer);
  return answer;
}

Napi::Value RegionInfo(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto region =
      InfoAt<vfio_region_info>(info, "VFIO_DEVICE_GET_REGION_INFO", VFIO_DEVICE_GET_REGION_INFO);
  Napi::Object result = Napi::Object::New(env);
  result.Set("flags", Napi::Number::New(env, region.flags));
  // vfio-pci puts the region's index into bits 40 and up of the offset: exact as a Number.
  result.Set("size", Napi::Number::New(env, static_cast<double>(region.size)));
  result.Set("offset", Napi::Number::New(env, static_cast<double>(region.offset)));
  return result;
}

Napi::Value IrqInfo(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto irq = InfoAt<vfio_irq_info>(info, "VFIO_DEVICE_GET_IRQ_INFO", VFIO_DEVICE_GET_IRQ_INFO);
  Napi::Object result = Napi::Object::New(env);
  result.Set("flags", Napi::Number::New(env, irq.flags));
  result.Set("count", Napi::Number::New(env, irq.count));
  return result;
}

/** VFIO_DEVICE_SET_IRQS: the header is followed by `data`, one eventfd per vector, or by nothing. */
void SetIrqs(Napi::Env env, int device, vfio_irq_set header, const std::vector<int>& data) {
  std::vector<char> bytes(sizeof header + data.size() * sizeof(int));
  header.argsz = static_cast<uint32_t>(bytes.size());
  std::memcpy(bytes.data(), &header, sizeof header);
  if (!data.empty()) std::memcpy(bytes.data() + sizeof header, data.data(), data.size() * sizeof(int));
  Ioctl(env, "VFIO_DEVICE_SET_IRQS", device, VFIO_DEVICE_SET_IRQS, bytes.data());
}

vfio_irq_set IrqSet(uint32_t flags, uint32_t index, uint32_t start, size_t count) {
  vfio_irq_set header{};
  header.flags = flags;
  header.index = index;
  header.start = start;
  header.count = static_cast<uint32_t>(count);
  return header;
}

Napi::Value SetIrqEventfds(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int device = arguments.Fd(0, "device");
  const uint32_t index = arguments.Uint32(1, "index");
  const uint32_t start = arguments.Uint32(2, "start");
  const std::vector<int> eventfds = arguments.Fds(3, "eventfds", kVectorLimit, -1);
  SetIrqs(info.Env(), device,
          IrqSet(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, index, start, eventfds.size()),
          eventfds);
  return info.Env().Undefined();
}

/** One action, without data, on the first `count` interrupts of the index that argument 1 names; 0 turns the
 * index off. */
void ActOnIrqs(const Napi::CallbackInfo& info, uint32_t action, size_t count) {
  const Arguments arguments(info);
  const int device = arguments.Fd(0, "device");
  const uint32_t index = arguments.Uint32(1, "index");
  SetIrqs(info.Env(), device, IrqSet(VFIO_IRQ_SET_DATA_NONE | action, index, 0, count), {});
}

Napi::Value DisableIrqs(const Napi::CallbackInfo& info) {
  ActOnIrqs(info, VFIO_IRQ_SET_ACTION_TRIGGER, 0);
  return info.Env().Undefined();
}

Napi::Value UnmaskIrq(const Napi::CallbackInfo& info) {
  ActOnIrqs(info, VFIO_IRQ_SET_ACTION_UNMASK, 1);
  return info.Env().Undefined();
}

Napi::Value DeviceReset(const Napi::CallbackInfo& info) {
  Ioctl(info.Env(), "VFIO_DEVICE_RESET", Arguments(info).Fd(0, "device"), VFIO_DEVICE_RESET, 0);
  return info.Env().Undefined();
}

Napi::Value MapDma(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Arguments arguments(info);
  const int container = arguments.Fd(0, "container");
  const Mapping* mapping = Wrapped<Mapping>::From(env, arguments.Raw(1));
  const uint64_t offset = arguments.Size(2, "offset");
  const uint64_t length = arguments.Size(3, "length", 1);
  vfio_iommu_type1_dma_map map{};
  map.argsz = sizeof map;
  map.iova = arguments.Size(4, "iova");
  map.flags = (arguments.Bool(5, "readable") ? VFIO_DMA_MAP_FLAG_READ : 0) |
              (arguments.Bool(6, "writable") ? VFIO_DMA_MAP_FLAG_WRITE : 0);
  const auto region = mapping->region();
  if (!region) ThrowErrno(env, "VFIO_IOMMU_MAP_DMA", EBADF);
  if (offset + length > region->size()) ThrowRange(env, "offset + length is beyond the mapping");
  map.vaddr = reinterpret_cast<uintptr_t>(region->address()) + offset;
  map.size = length;
  Ioctl(env, "VFIO_IOMMU_MAP_DMA", container, VFIO_IOMMU_MAP_DMA, &map);
  return env.Undefined();
}

Napi::Value UnmapDma(const Napi::CallbackInfo& info) {
  const Arguments arguments(info);
  const int container = arguments.Fd(0, "container");
  vfio_iommu_type1_dma_unmap unmap{};
  unmap.argsz = sizeof unmap;
  unmap.iova = arguments.Size(1, "iova");
  unmap.size = arguments.Size(2, "length", 1);
  Ioctl(info.Env(), "VFIO_IOMMU_UNMAP_DMA", container, VFIO_IOMMU_UNMAP_DMA, &unmap);
  return info.Env().Undefined();
}

}  // namespace

void DefineVfio(Napi::Env, Napi::Object exports) {
  Export<ApiVersion>(exports, "vfioApiVersion");
  Export<CheckExtension>(exports, "vfioCheckExtension");
  Export<SetIommu>(exports, "vfioSetIommu");
  Export<GroupStatus>(exports, "vfioGroupStatus");
  Export<GroupSetContainer>(exports, "vfioGroupSetContainer");
  Export<GroupUnsetContainer>(exports, "vfioGroupUnsetContainer");
  Export<GroupGetDevice>(exports, "vfioGroupGetDevice");
  Export<DeviceInfo>(exports, "vfioDeviceInfo");
  Export<RegionInfo>(exports, "vfioRegionInfo");
  Export<IrqInfo>(exports, "vfioIrqInfo");
  Export<SetIrqEventfds>(exports, "vfioSetIrqEventfds");
  Export<DisableIrqs>(exports, "vfioDisableIrqs");
  Export<UnmaskIrq>(exports, "vfioUnmaskIrq");
  Export<DeviceReset>(exports, "vfioDeviceReset");
  Export<MapDma>(exports, "vfioMapDma");
  Export<UnmapDma>(exports, "vfioUnmapDma");
}

}  // namespace ivshmem
