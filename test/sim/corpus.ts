/** Seeds that once failed, each with what they found. They run first, for ever. */
export const CORPUS: readonly { seed: number; found: string }[] = [
  { seed: 5, found: 'an instance kept warm had no end: nobody looked at it again after its release' },
  { seed: 8, found: 'the index remembered pods for ever that were retired after they were gone' },
  { seed: 9, found: 'one create without an answer stopped its pool for five minutes' },
  { seed: 18, found: 'a removal without an answer kept its pod reserved for ever' },
  { seed: 27, found: 'the end of an abandoned attempt released the next attempt with the same claim id' },
  { seed: 40, found: 'a leader that woke up from a pause deleted an instance of its successor' },
  { seed: 49, found: 'a claim that was given up, retried and answered was released all the same' },
  { seed: 215, found: 'a pool was told anew because the watch showed its status as it was before the last write' },
  { seed: 350, found: 'a new leader ended an old instance whose node it could not hear at once' },
  { seed: 463, found: 'a cold pod was taken for the answer to a create of the pool' },
  { seed: 636, found: 'a new leader believed a report of before the load and ended the instance' },
  {
    seed: 1216,
    found: 'an attempt that outlived its leadership ended the instance that the next one had answered with',
  },
  { seed: 1496, found: 'an instance was ended while a claim took it over from its idleness' },
  { seed: 1599, found: 'a release that outlived its leadership made an instance idle that its claim held again' },
  { seed: 3065, found: 'late news of the pods of a deleted pool were taken for those of its successor' },
  { seed: 5004, found: 'a dead pod that a claim could not use stayed reserved, and its pool one short, for ever' },
  {
    seed: 800_054,
    found:
      'a new leader took a dead pod that a claim had tried for its instance, and ended the one it was answered with',
  },
];
