"""The Flower app at a site: a process per message that hands it to the site's worker and takes the reply back.

It imports no torch and knows no task. Whatever goes wrong leaves the site as a code.
"""

from pathlib import Path

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from oncotrain.federation import parcel
from oncotrain.federation.channel import Channel, ask
from oncotrain.federation.refusal import Refusal

QUERIES = ("contract", "statistics", "plan", "stop")
EVALUATIONS = ("validation", "test")

app = ClientApp()


def forward(message: Message, context: Context) -> Message:
    """Ask the worker what `message` asks; reply with its parcel or with a code."""
    try:
        request = parcel.from_records(message.content)
        kind = message.metadata.message_type.rpartition(".")[2]
        channel = Channel(Path(str(context.node_config["socket"])), Path(str(context.node_config["key"])))
        body = {**request.body, "kind": kind}
        reply = parcel.from_bytes(ask(channel, parcel.to_bytes(parcel.Parcel(body, request.sums, request.parameters))))
    except Exception:  # noqa: BLE001 - Flower would send the text of an exception, and with it paths, to the coordinator
        return _refuse(Refusal.WORKER_GONE, message)
    if "refusal" in reply.body:
        return _refuse(Refusal(reply.body["refusal"]), message)
    return Message(parcel.to_records(reply), reply_to=message)


def _refuse(refusal: Refusal, message: Message) -> Message:
    return Message(Error(int(refusal), refusal.name), reply_to=message)


app.train()(forward)
for query in QUERIES:
    app.query(query)(forward)
for evaluation in EVALUATIONS:
    app.evaluate(evaluation)(forward)
