export function system(root) { root.textContent = ''; }
