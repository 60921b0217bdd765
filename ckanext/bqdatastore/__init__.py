"""CKAN's DataStore in an analytics engine, behind the same action API."""
