export function verify(root) { root.textContent = ''; }
