// So many at a time and no more: a hundred photos are not a hundred requests at once.

/** `pool(3)` gives `run(task)`, which starts `task` when fewer than three others are under way. */
export function pool(width) {
  const waiting = [];
  let running = 0;
  const next = () => {
    if (running >= width || !waiting.length) return;
    running += 1;
    const { task, resolve, reject } = waiting.shift();
    Promise.resolve()
      .then(task)
      .then(resolve, reject)
      .finally(() => {
        running -= 1;
        next();
      });
  };
  return (task) => new Promise((resolve, reject) => {
    waiting.push({ task, resolve, reject });
    next();
  });
}
