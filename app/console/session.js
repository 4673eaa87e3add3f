// The key of this tab, and what it may do. The key lives in sessionStorage: closing the tab
// forgets it. It goes into the Authorization header and nowhere else.

const PLACE = "rollcall.key";
const COLLECTION = "rollcall.collection";

export const session = {
  /** What GET /keys/self said; null until it has. */
  self: null,
  /** What GET /limits said. */
  limits: null,

  get key() {
    return sessionStorage.getItem(PLACE);
  },
  set key(text) {
    if (text) sessionStorage.setItem(PLACE, text);
    else sessionStorage.removeItem(PLACE);
  },

  /** The collection that is worked in. */
  get collection() {
    return sessionStorage.getItem(COLLECTION) ?? this.self?.collections?.[0] ?? "default";
  },
  set collection(name) {
    sessionStorage.setItem(COLLECTION, name);
  },

  can(...scopes) {
    return scopes.every((scope) => this.self?.scopes.includes(scope));
  },
};
