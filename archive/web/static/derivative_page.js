// @ts-check
/** The page of one derivative. */
import { PictureViewer } from "./picture_viewer.js";
import { enableComments, listComments } from "./place_comments.js";
import { pageData } from "./server.js";

const viewer = new PictureViewer();
const picture = pageData("picture");
const none = document.querySelector("#comments .quiet")?.textContent ?? "";
enableComments(viewer, (comments) => listComments(viewer, comments, none));
listComments(viewer, picture.comments, none);
viewer.show(picture).catch(() => undefined); // the viewer says why
