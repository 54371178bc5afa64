// The page: Hydrogen, signed in as the address says, with one room open.
import {
  Client, FeatureSet, LoadStatus, Platform, RoomView, RoomViewModel, createNavigation, createRouter,
  viewClassForTile,
} from "hydrogen-view-sdk";

async function main() {
  const wish = new URLSearchParams(location.search);
  const container = document.querySelector("#app");
  const assetPaths = {
    downloadSandbox: "/assets/download-sandbox.html",
    worker: "/assets/main.js",
    olm: { wasm: "/olm/olm.wasm", legacyBundle: "/olm/olm_legacy.js", wasmBundle: "/olm/olm.js" },
    serviceWorker: "/sw.js",
  };
  const platform = new Platform({ container, assetPaths, config: {}, options: { development: false } });
  const navigation = createNavigation();
  platform.setNavigation(navigation);
  await platform.init();
  const urlRouter = createRouter({ navigation, history: platform.history });
  urlRouter.attach();
  const client = new Client(platform);
  const ways = await client.queryLogin(wish.get("homeserver")).result;
  client.startWithLogin(ways.password(wish.get("user"), wish.get("password")));
  const over = [LoadStatus.Ready, LoadStatus.Error, LoadStatus.LoginFailed];
  await client.loadStatus.waitFor(status => over.includes(status)).promise;
  if (client.loadStatus.get() !== LoadStatus.Ready) {
    throw new Error(`sign in: ${client.loginFailure ?? client.loadError}`);
  }
  const room = client.session.rooms.get(wish.get("room"));
  if (!room) {
    throw new Error("the room is not among the user's");
  }
  const features = await FeatureSet.load(platform.settingsStorage);
  const ownUserId = client.session.userId;
  const model = new RoomViewModel({ room, ownUserId, platform, urlRouter, navigation, features });
  await model.load();
  container.appendChild(new RoomView(model, viewClassForTile).mount());
  document.body.dataset.state = "shown";
}

main().catch(error => {
  document.body.dataset.state = `failed: ${error.message}`;
});
