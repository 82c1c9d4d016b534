// @ts-check
/** Keeps what the two panes of the picture viewer show together. */

/**
 * Lets both panes show the same part, and the divider stay where it is on the screen.
 * @param {import("./picture_viewer.js").PictureViewer} viewer
 */
export function synchronisePanes(viewer) {
  let follows = false;
  /** @param {any} leader @param {any} follower */
  const follow = (leader, follower) => {
    leader.addHandler("viewport-change", () => {
      if (follows || follower.world.getItemCount() === 0 || viewer.mode !== "side_by_side") {
        return;
      }
      follows = true;
      follower.viewport.zoomTo(leader.viewport.getZoom(true), null, true);
      follower.viewport.panTo(leader.viewport.getCenter(true), true);
      follows = false;
    });
  };
  follow(viewer.main, viewer.second);
  follow(viewer.second, viewer.main);
  for (const name of ["viewport-change", "resize", "animation"]) {
    viewer.main.addHandler(name, () => viewer.clip());
  }
}
