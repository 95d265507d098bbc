// Browse a served plant, watch a value change, call its methods; what was seen goes out as one JSON document.
// node client.js ENDPOINT PLANT UPSET
import opcua from "node-opcua-client";

const [endpoint, plant, upset] = process.argv.slice(2);
const CHANGES = 3;
const {
  AttributeIds, ClientMonitoredItem, ClientSubscription, DataType, MessageSecurityMode, OPCUAClient,
  SecurityPolicy, TimestampsToReturn, Variant,
} = opcua;

const client = OPCUAClient.create({
  applicationName: "other stack",
  connectionStrategy: { maxRetry: 0 },
  endpointMustExist: true,
  securityMode: MessageSecurityMode.None,
  securityPolicy: SecurityPolicy.None,
});

const names = async (session, nodeId) =>
  (await session.browse(nodeId)).references.map((reference) => reference.browseName.name);

async function changes(session, nodeId) {
  const subscription = ClientSubscription.create(session, { requestedPublishingInterval: 200, publishingEnabled: true });
  const item = ClientMonitoredItem.create(
    subscription, { nodeId, attributeId: AttributeIds.Value }, { samplingInterval: 0, queueSize: 10 },
    TimestampsToReturn.Both,
  );
  const seen = [];
  await new Promise((resolve, reject) => {
    item.on("changed", (dataValue) => {
      seen.push({
        value: dataValue.value.value, status: dataValue.statusCode.name,
        ts_ms: dataValue.sourceTimestamp.getTime(),
      });
      if (seen.length === CHANGES) resolve();
    });
    item.on("err", (message) => reject(new Error(message)));
    subscription.on("terminated", () => reject(new Error("the subscription ended")));
  });
  subscription.removeAllListeners("terminated");
  await subscription.terminate();
  return seen;
}

const call = async (session, objectId, methodId, ...inputArguments) =>
  (await session.call({ objectId, methodId, inputArguments })).statusCode.name;

const text = (value) => new Variant({ dataType: DataType.String, value });

await client.connect(endpoint);
const session = await client.createSession();
const [owner, method] = [`ns=2;s=/${plant}/Upsets`, `ns=2;s=/${plant}/Upsets/Trigger`];
const argument = (await session.getArgumentDefinition(method)).inputArguments[0];
const variable = "ns=2;s=FILLER.TT101.PV";
const report = {
  objects: await names(session, "i=85"),
  plant: await names(session, `ns=2;s=/${plant}`),
  filler: await names(session, `ns=2;s=/${plant}/filler`),
  upsets: await names(session, owner),
  properties: await names(session, variable),
  unit: (await session.read({ nodeId: `${variable}/EngineeringUnits` })).value.value.unitId,
  argument: { name: argument.name, description: argument.description.text },
  changes: await changes(session, "ns=2;s=FILLER.HB"),
  unknown: await call(session, owner, method, text("no_such_upset")),
  missing: await call(session, owner, method),
  too_many: await call(session, owner, method, text(upset), text(upset)),
  mistyped: await call(session, owner, method, new Variant({ dataType: DataType.UInt32, value: 1 })),
  misplaced: await call(session, `ns=2;s=/${plant}`, method, text(upset)),
  called: await call(session, owner, method, text(upset)),
};
await session.close();
await client.disconnect();
console.log(JSON.stringify(report));
