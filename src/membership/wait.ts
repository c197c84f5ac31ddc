/**
 * How a region waits for work. A number of nanoseconds to spin before arming the doorbell and sleeping; the native waiter
 * spins only while the event loop has nothing else to do, and adapts the time to how often spinning pays.
 */
export interface WaitStrategy {
  readonly spinNs: number;
}

/**
 * Spin about as long as a sleep and a wake-up cost, less when it does not pay; then sleep. The default. A VM finds out what a wake-up
 * costs it, which is a hundred times as much where its processor is emulated.
 */
export const adaptive: WaitStrategy = { spinNs: 50_000 };
/** Sleep at once: least processor time, one doorbell a message when traffic is sparse. */
export const interrupt: WaitStrategy = { spinNs: 0 };
/** Poll for a second before sleeping while the event loop goes on serving: lowest latency beside other work. */
export const loop: WaitStrategy = { spinNs: 1_000_000_000 };
// `channel.spin()` is the fourth: it polls one channel and nothing else.
