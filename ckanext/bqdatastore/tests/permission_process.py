"""A CKAN process that answers what it is asked, a JSON line for each.

`python -m ckanext.bqdatastore.tests.permission_process INI SETTINGS`, settings as a JSON object.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from freezegun import freeze_time


def main() -> None:
    ini, own_settings = sys.argv[1], json.loads(sys.argv[2])
    answers, sys.stdout = sys.stdout, sys.stderr  # CKAN may print
    from ckan.cli import load_config
    from ckan.config.middleware import make_app

    config: dict[str, Any] = {**load_config(ini), **own_settings}
    app = make_app(config)

    import ckantoolkit as tk
    from ckan import model

    from .permissions import READ, ask, beyond_the_user, statements

    def search(token: str, resource_id: str, later: int) -> int:
        """The status of a search over HTTP."""
        now = datetime.datetime.now(datetime.timezone.utc)
        with freeze_time(now + datetime.timedelta(seconds=later)) if later else nullcontext():
            answer = app._wsgi_app.test_client().post(
                f"/api/action/{READ}",
                json={"resource_id": resource_id},
                headers={"Authorization": token},
            )
        return int(answer.status_code)

    def authorize(user: str, resource_id: str) -> bool:
        """What our own action says."""
        context: Any = {"user": user, "auth_user_obj": model.User.get(user)}
        try:
            tk.get_action("datastore_authorize")(context, {"resource_id": resource_id})
        except tk.NotAuthorized:
            return False
        finally:
            model.Session.remove()
        return True

    def hide(dataset_id: str) -> None:
        """Make a dataset private, in this process."""
        package = model.Package.get(dataset_id)
        assert package is not None
        package.private = True
        model.Session.commit()

    questions: dict[str, Callable[..., Any]] = {
        "permission": ask,
        "search": search,
        "authorize": authorize,
        "hide": hide,
    }
    print(json.dumps(["ready", 0]), file=answers, flush=True)
    for line in iter(sys.stdin.readline, ""):
        kind, *question = json.loads(line)
        with statements() as sent:
            answer = questions[kind](*question)
        print(json.dumps([answer, len(beyond_the_user(sent))]), file=answers, flush=True)


if __name__ == "__main__":
    main()
