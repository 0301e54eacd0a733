import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { changeView, currentParameter } from "./url";

const history = { entries: [""], numReplaced: 0 };
const write = (address: string): void => void (window.location.search = address.startsWith("?") ? address : "");

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  Object.assign(history, { entries: [""], numReplaced: 0 });
  vi.stubGlobal("window", {
    location: { search: "", pathname: "/" },
    history: {
      replaceState: (_: unknown, __: string, address: string) => {
        write(address);
        history.entries.splice(-1, 1, address);
        history.numReplaced += 1;
      },
      pushState: (_: unknown, __: string, address: string) => {
        write(address);
        history.entries.push(address);
      },
    },
  });
});

afterEach(() => {
  vi.runAllTimers();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it("the state is the latest at once, the address follows a few times a second and ends as it is", () => {
  for (let i = 1; i <= 400; i += 1) {
    changeView({ smooth: String(i) }, { replace: true });
    expect(currentParameter("smooth")).toBe(String(i));
    vi.advanceTimersByTime(16);
  }
  vi.runAllTimers();
  expect(history.entries).toEqual(["?smooth=400"]);
  // Chromium leaves out what is more than 200 in ten seconds, Safari refuses more than 100 in thirty.
  expect(history.numReplaced).toBeLessThan(25);
});

it("what is clicked adds an entry after what was typed before it", () => {
  changeView({ filter: "a" }, { replace: true });
  changeView({ filter: "ab" }, { replace: true });
  changeView({ page: "experiment" });
  changeView({ filter: null }, { replace: true });
  vi.runAllTimers();
  expect(history.entries).toEqual(["?filter=ab", "?page=experiment"]);
});
