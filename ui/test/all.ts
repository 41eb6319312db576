import './layout';
import './preference';
import './samples';
import './words';
