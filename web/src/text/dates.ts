// How long ago, as headings of a list.

const DAY_MS = 24 * 60 * 60 * 1000;

export function ageGroup(time: number, now: number): string {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (time >= midnight) return 'Today';
  if (time >= midnight - DAY_MS) return 'Yesterday';
  if (time >= midnight - 7 * DAY_MS) return 'Last seven days';
  return 'Older';
}
