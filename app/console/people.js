export function people(root) { root.textContent = ''; }
