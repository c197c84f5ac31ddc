import { Attachment } from '../../membership/attachment.ts';
import { SERVER_SLOT } from '../../memory/layout.ts';
import { DeviceQueue, DriverQueue } from '../../virtqueue/index.ts';

/**
 * Makes this process a member that rings a doorbell for every commit, as one that does not look at event suppression (VIRTIO 1.3 §2.8.10: a
 * notification that nobody asked for is allowed): what suppression is worth is measured against it. There is no way back.
 */
export function ringAlways(): void {
  DriverQueue.prototype.needsNotification = () => true;
  DeviceQueue.prototype.needsNotification = () => true;
  const { notify } = Attachment.prototype;
  Attachment.prototype.notify = function (slot: number, index: number): void {
    notify.call(this, slot, index);
    if (slot !== SERVER_SLOT) this.device.ring(slot, 0);
  };
}
