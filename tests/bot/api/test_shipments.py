"""News of parcels over the API: kept under their order, refused where there is none."""

from __future__ import annotations

from sqlalchemy import select

from bot.database import Database
from handlers.service_tables import ShipmentRow
from tests.bot.api.test_api import Client, headers, play, problem, send

NEWS = {"carrier": "顺丰", "number": "SF1", "state": "moving", "note": "已到上海"}
ORDER = "/api/v1/orders/pos/T1001/shipments"


def test_the_newest_news_of_a_parcel_stand(database: Database) -> None:
    """Posted again with another state it changes the same parcel; news from before change nothing."""

    async def scene(client: Client) -> None:
        await send(client)
        for key, changes in (("s1", {}), ("s2", {"state": "delivered"}), ("s3", {"at": "2026-03-01T08:00:00+08:00"})):
            answer = await client.post(ORDER, json=NEWS | changes, headers=headers(key))
            assert answer.status == 200, await answer.text()

    play(database, scene)
    with database.reading() as session:
        assert [row.state for row in session.scalars(select(ShipmentRow))] == ["delivered"]


def test_news_that_cannot_be_kept_are_refused(database: Database) -> None:
    """An order nobody posted is 404, a state nobody knows 422 that names the field."""

    async def scene(client: Client) -> None:
        body = await problem(await client.post(ORDER, json=NEWS, headers=headers("s1")), 404)
        assert body["errors"][0]["field"] == "external_id"
        body = await problem(await client.post(ORDER, json=NEWS | {"state": "lost"}, headers=headers("s2")), 422)
        assert [item["field"] for item in body["errors"]] == ["state"]

    play(database, scene)
