// How a player moves, as world.py has it: the same operations in the same order, so that both come to the same place.
/** The place after one input: a direction, each part -1, 0 or 1. */
export function step([oldX, oldY], [dx, dy], { size, step, radius, rocks }) {
  const length = step * (dx && dy ? Math.sqrt(0.5) : 1);
  let x = Math.min(Math.max(oldX + dx * length, radius), size - radius);
  let y = Math.min(Math.max(oldY + dy * length, radius), size - radius);
  for (const [rockX, rockY, rock] of rocks) {
    const [awayX, awayY, least] = [x - rockX, y - rockY, rock + radius];
    const distance = Math.sqrt(awayX * awayX + awayY * awayY);
    if (distance > 0 && distance < least) [x, y] = [rockX + (awayX * least) / distance, rockY + (awayY * least) / distance];
  }
  return [x, y];
}
